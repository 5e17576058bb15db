"""`kerascale compare RUN RUN ...`: what differs, and where the losses part."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.errors import RefusedError
from kerascale.runs import layout

_USAGE = "RUN RUN ... [--json] [--html FILE]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Compare runs: configuration, data, versions, results and losses.

    It says what differs, and the first step, or epoch, whose losses do. It exits
    with 0 whether they differ or not. Two folders of kerascale train --folds are
    compared by a test that knows that their trainings share examples."""

    html: str | None = None
    """Write a page too, with the curves over each other."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> None:
    paths = list(itertools.takewhile(lambda a: not a.startswith("-"), arguments))
    names = ["RUN"] * max(2, len(paths))
    paths, rest = parsing.positional(
        arguments, names, program="kerascale compare", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale compare RUN RUN ...")
    from kerascale import reporting
    from kerascale.reporting import compared_text, output_paths, packages

    if len(paths) == 2 and all(map(_is_of_folds, paths)):
        _compare_folds(paths, options)
        return
    output = None if options.html is None else pathlib.Path(options.html)
    problems = []
    if output is not None:
        packages.refuse_without_packages("compare --html")
        problems += output_paths.problems_with_page("--html", output)
    recorded = []
    for path in paths:
        try:
            recorded.append(reporting.read(path))
        except RefusedError as error:
            problems += error.problems
    if problems:
        raise RefusedError(problems, heading="compare")
    comparison = reporting.compare(recorded)
    text = compared_text.to_text(comparison)
    if output is not None:
        from kerascale.reporting import compared_page

        output_paths.write(output, compared_page.render(comparison).encode())
        text += f"\nWrote {output}"
    finish(compared_text.to_json(comparison), as_json=options.json, text=text)


def _is_of_folds(path: str) -> bool:
    return (pathlib.Path(path) / layout.FOLDS).is_file()


def _compare_folds(paths: Sequence[str], options: Options) -> None:
    from kerascale.tuning import compared_folds

    if options.html is not None:
        raise RefusedError(
            "--html: expected runs. Received: cross-validations, which are compared in "
            "a table. Leave it out."
        )
    compared = compared_folds.compare(*paths)
    text = compared_folds.text(compared)
    finish(compared_folds.to_json(compared), as_json=options.json, text=text)
