"""`kerascale export RUN DEST`: a SavedModel for TF Serving."""

import dataclasses
import re
import shlex
from collections.abc import Sequence

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish

_USAGE = "RUN DEST [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write a run's model as the next numbered version in a folder that a server
    watches."""

    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path, destination), rest = parsing.positional(
        arguments,
        ["RUN", "DEST"],
        program="kerascale export",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale export RUN DEST")

    quiet.import_tensorflow()
    from kerascale import runs, serving

    version = serving.export_saved_model(runs.load_run(path), destination)
    quoted = shlex.quote(str(version))
    base = version.parent.resolve()
    name = re.sub(r"\W", "_", base.name)
    finish(
        {"run_dir": path, "version": version.name, "path": str(version)},
        as_json=options.json,
        text=(
            f"Exported {version}\n"
            f"Look at it:  saved_model_cli show --all --dir {quoted}\n"
            f"Serve it:    tensorflow_model_server --rest_api_port=8501 "
            f"--model_name={name} --model_base_path={shlex.quote(str(base))}"
        ),
    )
