"""`kerascale bench`: how fast usual models are trained on this machine."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Literal

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

Examples: kerascale bench --workloads A,D --seconds 5
kerascale bench --workloads D --strategy fsdp --mesh data=4
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
    strategy: Literal["fsdp"] | None = None
    """Cut each model over a mesh of devices, on Keras' JAX backend (extra jax)."""
    mesh: str | None = None
    """Devices of that mesh: data=4. Default: all that there are."""
    json: bool = False
    """Print the results as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.mesh is not None and self.strategy is None:
            problems.append("mesh: expected with --strategy. Received: without it")
        if self.strategy is not None and self.execution != "auto":
            problems.append(
                "execution: expected auto with --strategy, where steps are one "
                f"program. Received: {self.execution}"
            )
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
        strategy=options.strategy,
        mesh=options.mesh,
    )
    return finish_report(report, as_json=options.json, began=began)
