"""`kerascale check-gradients RECIPE|RUN`: numeric against automatic gradients."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Annotated, Any

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish_report
from kerascale.config.fields import Limits, PositiveInt, check
from kerascale.config.recipes import Recipe, load_recipe
from kerascale.errors import RefusedError
from kerascale.runs import files, layout

_USAGE = "RECIPE|RUN [--layer NAME] [--replicas 2] [--json] [--field value ...]"
_DESCRIPTION = """\
Compare the gradients that training uses with differences of the loss.

Runs one step of fit, on one device and on several logical ones, in float64, and keeps
the gradients that the optimizer would be given. It is executed as --execution says;
auto: in a loop. Moves each variable and each input
along random directions, and by single elements, and sees what the loss of the whole
batch does. Kinks of ReLU and its like are told from errors; of what is wrong the worst
element is named, and the layers that are wrong by themselves. Exit code 0: all are
right; 1: one is wrong.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Compare the gradients that training uses with differences of the loss."""

    layer: str | None = None
    """Check one layer: its variables, and the layer by itself."""
    replicas: Annotated[int, Limits(at_least=1, at_most=16)] = 2
    """Logical devices on which a step is run beside one device. 1: on one alone."""
    examples: PositiveInt = 7
    """Examples in the batch. An odd number gives replicas slices of two sizes."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if not problems and self.examples < self.replicas:
            problems.append(
                f"examples: expected at least one for each of {self.replicas} "
                f"replicas. Received: {self.examples}"
            )
        if problems:
            raise RefusedError(problems, heading="check-gradients")


def run(arguments: Sequence[str]) -> int:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE|RUN"], program="kerascale check-gradients", usage=_USAGE
    )
    began = time.monotonic()
    if _names_a_run(name):
        options, config = _options_of_run(rest), None
        files.read_json(name, layout.EVALUATION)  # Refused before TensorFlow is there.
        target: Any = name
    else:
        target = load_recipe(name)
        options, config = _parse(target, rest)
    # Before TensorFlow starts: devices are decided there.
    os.environ["KERASCALE_DEVICES"] = str(options.replicas)
    quiet.import_tensorflow()
    from kerascale import strategies
    from kerascale.trust.gradients import check_gradients

    strategy = strategies.get("mirrored") if options.replicas > 1 else None
    report = check_gradients(
        target,
        config=config,
        layer=options.layer,
        strategy=strategy,
        examples=options.examples,
    )
    return finish_report(report, as_json=options.json, began=began)


def _names_a_run(name: str) -> bool:
    """Whether it is a folder, or a path that is no recipe's file."""
    return os.path.isdir(name) or (os.sep in name and not name.endswith(".py"))


def _options_of_run(arguments: Sequence[str]) -> Options:
    return parsing.parse(Options, arguments, program="kerascale check-gradients RUN")


def _parse(recipe: Recipe, arguments: Sequence[str]) -> tuple[Options, Any]:
    """The flags of the command, and the recipe's configuration."""
    command = dataclasses.make_dataclass(
        "CheckGradients", [("run", Options), ("recipe", recipe.Config)]
    )
    parsed = parsing.parse(
        command,
        arguments,
        program=f"kerascale check-gradients {recipe.name}",
        description=_DESCRIPTION,
        default=command(Options(), recipe.Config()),
    )
    return parsed.run, parsed.recipe
