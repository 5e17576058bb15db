"""`kerascale report RUN`: one page about a run, and its figures as pictures."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import RefusedError
from kerascale.runs import layout

_USAGE = "RUN [--output FILE] [--png DIR] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write one HTML page about a run, which needs no network and no other file.

    It shows the curves, the results of each class, the worst mistakes on held-out
    examples, the model, the configuration, the data, and what happened to the run."""

    output: str | None = None
    """The page. Default: report.html in the run folder."""
    png: str | None = None
    """Write the figures as PNG files into this folder too."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale report", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale report RUN")
    from kerascale import reporting
    from kerascale.reporting import output_paths, packages

    packages.refuse_without_packages("report")
    recorded = reporting.read(path)
    output = pathlib.Path(options.output or os.path.join(path, layout.REPORT))
    folder = None if options.png is None else pathlib.Path(options.png)
    problems = [
        *output_paths.problems_with_page("--output", output),
        *(output_paths.problems_with_folder("--png", folder) if folder else ()),
    ]
    if problems:
        raise RefusedError(problems, heading="report")
    quiet.import_tensorflow()
    from kerascale.reporting import model_findings, page
    from kerascale.runtime.console import say

    found = model_findings.find(recorded)
    if found.missing is not None:
        say(f"report: no mistakes are shown. {found.missing}")
    output_paths.write(output, page.render(recorded, found).encode())
    pictures = []
    if folder is not None:
        folder.mkdir(exist_ok=True)
        for drawing in page.drawings(recorded):
            pictures.append(folder / f"{drawing.name}.png")
            output_paths.write(pictures[-1], drawing.png())
    finish(
        {
            "run_dir": path,
            "output": str(output),
            "png": list(map(str, pictures)),
            "left_out": recorded.left_out,
        },
        as_json=options.json,
        text=(f"{recorded.left_out}\n" if recorded.left_out else "")
        + f"Wrote {output}"
        + (f" and {len(pictures)} figures to {folder}" if folder else ""),
    )
