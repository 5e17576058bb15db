"""`kerascale fetch ADDRESS DIR`."""

import dataclasses
import pathlib
import shlex
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.runs import files, layout
from kerascale.runs.mirror import fetch

_USAGE = "s3://BUCKET/KEY|gs://BUCKET/KEY DIR [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Bring back a run that kerascale mirror has copied into an object store.

    The newest copy that is whole is taken, compared with its checksums. A run that was
    not finished goes on with the command that began it, with --run-dir DIR."""

    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (address, folder), rest = parsing.positional(
        arguments,
        ["ADDRESS", "DIR"],
        program="kerascale fetch",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale fetch ADDRESS DIR")
    path = pathlib.Path(folder)
    found = fetch(address, path)
    is_finished = layout.EVALUATION in found.files
    text = f"The run is in {folder}, at step {found.step:,}.\n"
    if is_finished:
        text += f"It is finished:  kerascale evaluate {shlex.quote(folder)}"
    else:
        recipe = shlex.quote(files.read_config(path)["recipe"])
        text += (
            f"Go on with it, with the flags that began it:  kerascale train {recipe} "
            f"--run-dir {shlex.quote(folder)}"
        )
    summary = {"run_dir": folder, "step": found.step, "finished": is_finished}
    finish(summary, as_json=options.json, text=text)
