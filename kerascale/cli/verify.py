"""`kerascale verify RECIPE`: one result on any hardware, or the first difference."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.config.fields import Limits, NonNegativeInt, PositiveInt, check
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError

_USAGE = "RECIPE [--steps 10] [--replicas 2] [--workers N] [--field value ...]"
_DESCRIPTION = """\
Check that the recipe {0} gives one result on any hardware.

Trains some steps on one device, on several logical devices and, with --workers, in
several processes, all on the CPU of this machine. Compares the weights, the loss and
the metrics after every step, and predictions after the last. Exit code 0: all are the
same within rounding; 1: they differ, and the first step and variable are named.

Example: kerascale verify {0} --workers 2
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `verify` itself."""

    steps: PositiveInt = 10
    """Steps to train. One of them has a batch that the replicas do not divide, and
    the last has one example."""
    replicas: Annotated[int, Limits(at_least=2)] = 2
    """Logical devices that are compared with one."""
    workers: NonNegativeInt = 0
    """Processes that train together and are compared with one device, too. 0: none."""
    precision: Literal["float64", "float32"] = "float64"
    """float64: the limit is 1e-10, and rounding is far below: what differs is wrong
    logic. float32: what training computes; the limit is 1e-5, and 1e-6 up to 5 steps,
    but Adam and its kin may enlarge rounding beyond it."""
    plant: Literal["clip-before-reduce", "mean-of-means", "same-mask"] | None = None
    """Break the engine on purpose, on several replicas, to see that it is noticed:
    clip each replica's gradient; count slices of any size the same; draw one dropout
    mask for all. Fields that the fault needs are set everywhere."""
    plain: bool = False
    """Leave our engine out and verify plain Keras: for a recipe whose make_model
    returns a plain keras.Model."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.workers == 1:
            problems.append(
                "workers: expected 0 (none) or an integer >= 2. Received: 1"
            )
        if problems:
            raise RefusedError(problems, heading="verify")


def run(arguments: Sequence[str]) -> int:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale verify", usage=_USAGE
    )
    recipe = load_recipe(name)
    options, config = _parse(recipe, rest)
    began = time.monotonic()
    from kerascale.diagnostics import verify

    report = verify.verify_recipe(
        recipe,
        config,
        steps=options.steps,
        replicas=options.replicas,
        workers=options.workers,
        precision=options.precision,
        engine=not options.plain,
        plant=options.plant,
    )
    if options.json:
        seconds = round(time.monotonic() - began, 3)
        summary = {"recipe": recipe.name, **report.to_dict(), "seconds": seconds}
        finish(summary, as_json=True, text=report.text())
    else:
        print(report.text(), flush=True)
    return EXIT_DONE if report else EXIT_FAILED


def _parse(recipe: Recipe, arguments: Sequence[str]) -> tuple[Options, Any]:
    """The flags of `verify`, and the recipe's configuration."""
    command = dataclasses.make_dataclass(
        "Verify", [("run", Options), ("recipe", recipe.Config)]
    )
    parsed = parsing.parse(
        command,
        arguments,
        program=f"kerascale verify {recipe.name}",
        description=_DESCRIPTION.format(recipe.name),
        default=command(Options(), recipe.Config()),
    )
    return parsed.run, parsed.recipe
