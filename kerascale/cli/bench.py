"""`kerascale bench`: how fast usual models are trained on this machine."""

import dataclasses
import time
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.cli.results import finish_report
from kerascale.config import Execution
from kerascale.config.fields import PositiveFloat, check
from kerascale.diagnostics.bench import WORKLOADS, named
from kerascale.errors import RefusedError

_DESCRIPTION = """\
Measure how fast kerascale trains five usual models on this machine.

{0}

Each is trained by model.fit on random arrays, in a process of its own. Told are: items
a second and the time of a step, of the median epoch; how steps were executed; what was
computed, of the most that a matrix product reaches here; the time from the start of
the process to the end of its first steps; and the most memory of the process. What was
compiled and chosen is kept: a second run starts sooner.

Exit code 0: all were measured; 1: one has failed.

Example: kerascale bench --workloads A,D --seconds 5
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `bench`."""

    workloads: str = ",".join(WORKLOADS)
    """Letters, with commas between them."""
    seconds: PositiveFloat = 5.0
    """How long each workload is measured, at least: in whole epochs, after a first
    one that does not count."""
    execution: Execution = "auto"
    """How batches are executed, as in train. fixed: one by one; loop: many in one
    call; one_program: these as one program of XLA; split: each batch split into a
    program for every core; auto: what is fastest here, of these ways, measured
    first."""
    json: bool = False
    """Print the results as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        try:
            named(self.workloads)
        except RefusedError as error:
            problems += error.problems
        if problems:
            raise RefusedError(problems, heading="bench")


def run(arguments: Sequence[str]) -> int:
    titles = "\n".join(f"- {w.letter}: {w.title}" for w in WORKLOADS.values())
    options = parsing.parse(
        Options,
        arguments,
        program="kerascale bench",
        description=_DESCRIPTION.format(titles),
    )
    from kerascale.diagnostics import bench

    began = time.monotonic()
    report = bench.measure_all(
        named(options.workloads),
        seconds=options.seconds,
        execution=options.execution,
    )
    return finish_report(report, as_json=options.json, began=began)
