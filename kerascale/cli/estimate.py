"""`kerascale estimate RECIPE [--field value ...]`."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish_report
from kerascale.config import CheckpointPolicy
from kerascale.config.fields import PositiveInt, check
from kerascale.config.recipes import load_recipe
from kerascale.errors import RefusedError
from kerascale.runtime import allocator
from kerascale.strategies import mesh_process

_USAGE = (
    "RECIPE [--workers N | --strategy fsdp --mesh data=8] [--memory 24GiB] "
    "[--field value ...]"
)
_DESCRIPTION = """\
What each worker needs to train a recipe: parameters, memory, disk, steps an epoch.

Single steps are run, and TensorFlow's allocator says what they took. Of one worker on a
CPU a training is begun in a temporary folder too, and the peak of its memory is read.
For a mesh the program of a step is compiled, and XLA says what it takes. Nothing is
left behind. Exit code 0: it fits; 1: it does not.

Examples: kerascale estimate cnn --batch-size 512 --workers 4 --memory 8GiB
kerascale estimate language_model --width 512 --strategy fsdp --mesh data=8
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `estimate` itself."""

    workers: PositiveInt = 1
    """Devices that share a batch."""
    strategy: Literal["model_parallel", "fsdp"] | None = None
    """Cut the model over a mesh of devices (extra jax). Default: each worker has all
    of it."""
    mesh: str | None = None
    """Devices of each axis, for --strategy: data=2,model=4. Default for fsdp: all
    devices along data."""
    remat: Literal["none", "block", "full"] = "none"
    """What a step computes again for its gradient, for --strategy; as of train."""
    memory: str | None = None
    """What a worker, or a device of the mesh, has, such as 24GiB. Default: what this
    machine has free."""
    json: bool = False
    """Print the estimate as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = [*check(self), *mesh_process.problems_of(self)]
        if problems:
            raise RefusedError(problems, heading="estimate")


def run(arguments: Sequence[str]) -> int:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale estimate", usage=_USAGE
    )
    recipe = load_recipe(name)
    command = dataclasses.make_dataclass(
        "Estimate",
        [
            ("own", Options),
            ("checkpoints", CheckpointPolicy),
            ("recipe", recipe.Config),
        ],
    )
    parsed = parsing.parse(
        command,
        rest,
        program=f"kerascale estimate {recipe.name}",
        description=_DESCRIPTION,
        default=command(Options(), CheckpointPolicy(), recipe.Config()),
    )
    began = time.monotonic()
    # It counts what it gives, on any number of cores.
    os.environ.setdefault(allocator.VARIABLE, "true")
    quiet.import_tensorflow()
    from kerascale.diagnostics.estimate import estimate

    found = estimate(
        recipe,
        parsed.recipe,
        workers=parsed.own.workers,
        strategy=parsed.own.strategy,
        mesh=parsed.own.mesh,
        remat=parsed.own.remat,
        memory=parsed.own.memory,
        checkpoints=parsed.checkpoints,
    )
    return finish_report(found, as_json=parsed.own.json, began=began)
