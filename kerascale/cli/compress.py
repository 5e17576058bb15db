"""`kerascale compress RUN`: smaller and faster versions of a run, measured."""

import dataclasses
import math
import os
import shlex
from collections.abc import Sequence
from typing import Any, Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError
from kerascale.runs import files, layout
from kerascale.runtime.console import say

_USAGE = "RUN [--max-drop D] [--to LEVEL ...] [--runtimes NAME ...] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Write smaller and faster versions of a run, beside it, and measure each of them:
    size, latency, memory, accuracy by class, and whether each answer is still the same.

    Each is run in a process that has its runtime, and neither Keras nor kerascale. The
    smallest within the limit is named; without one the exit code is 1. Needs
    kerascale[compress] for LiteRT and ONNX Runtime."""

    max_drop: float = 0.01
    """How much accuracy on held-out examples may be lost; of a language model, how many
    nats may be added; of a regression, how much of R2 may be lost."""
    to: tuple[
        Literal["auto", "float16", "int8-weights", "int8", "int4", "pruned-0.8", "2:4"],
        ...,
    ] = ("auto",)
    """How to keep weights (and activations: int8). auto: in each of these ways, but
    pruned-0.8 and 2:4, for which the run trains on for a fifth of its epochs."""
    runtimes: tuple[Literal["auto", "litert", "onnx", "tensorflow"], ...] = ("auto",)
    """What is to run it. auto: whatever is installed and can."""
    calibration_examples: int = 256
    """Training examples on which ranges of activations are taken, for int8."""
    threads: int = 1
    """Threads that each runtime computes with while it is measured."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> int:
    (path,), rest = parsing.positional(
        arguments, ["RUN"], program="kerascale compress", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale compress RUN")
    _refuse_wrong_numbers(options)
    # Refused before TensorFlow is there.
    files.read_json(path, layout.EVALUATION)
    from kerascale.compression.formats import packages

    levels, runtimes = _named(options.to), _named(options.runtimes)
    packages.installed(runtimes, levels)

    quiet.import_tensorflow()
    from kerascale.compression.ladder import table
    from kerascale.compression.ladder.climb import Wishes, climb
    from kerascale.runs.run import load_run

    wishes = Wishes(
        levels,
        runtimes,
        options.max_drop,
        options.calibration_examples,
        options.threads,
    )
    finished = load_run(path)
    ladder, changes = climb(finished, wishes)
    text = table.text(ladder)
    page = _write_page(finished, ladder, changes) if ladder.rows else None
    if page is not None:
        text += f"\nWrote {page}"
    if ladder.chosen is not None:
        text += f"\nServe it: kerascale export {shlex.quote(ladder.chosen.path)} DEST"
    finish({**ladder.to_json(), "page": page}, as_json=options.json, text=text)
    return EXIT_DONE if ladder.chosen is not None else EXIT_FAILED


def _write_page(run: Any, ladder: Any, changes: Any) -> str | None:
    """Writes the page, where the packages that draw and lay out pages are installed."""
    from kerascale.reporting import output_paths, packages

    try:
        packages.refuse_without_packages("compress")
    except RefusedError as error:
        say(f"no page is written. {error}")
        return None
    from kerascale.compression.page import render

    path = run.path / layout.COMPRESSED / layout.LADDER_PAGE
    output_paths.write(path, render.render(ladder, changes).encode())
    return str(path)


def _named(names: Sequence[str]) -> tuple[str, ...]:
    """Those that were named; none stands for all."""
    return () if "auto" in names else tuple(dict.fromkeys(names))


def _refuse_wrong_numbers(options: Options) -> None:
    problems = []
    if not options.max_drop >= 0 or math.isinf(options.max_drop):
        problems.append(
            f"--max-drop: expected a finite number >= 0. Received: {options.max_drop}"
        )
    if options.calibration_examples < 1:
        problems.append(
            "--calibration-examples: expected at least 1, as int8 takes the ranges of "
            f"activations from them. Received: {options.calibration_examples}"
        )
    most = os.cpu_count() or 1
    if not 1 <= options.threads <= most:
        problems.append(
            f"--threads: expected 1 to {most}, the cores of this machine. Received: "
            f"{options.threads}"
        )
    if problems:
        raise RefusedError(problems, heading="compress")
