"""The list of cases: what each proves, in which precisions, and where by default."""

import dataclasses
from collections.abc import Callable
from typing import Any

STRATEGIES = ("mirrored:2", "mirrored:4", "workers:2", "workers:3")
# One device, with each form of execution forced that `fit` may choose there.
FORMS = (
    "one:loop",
    "one:one_program",
    "one:split",
    # The same on several replicas.
    "mirrored:2+loop",
    "mirrored:2+compiled",
    "mirrored:2+one_program",
    "mirrored:2+split",
    "shared:2+loop",
    "shared:2+compiled",
)
# Two workers of which each makes a part of the update, as with a large model.
SHARES = "shared:2+shares"
# Further ways to the same forms, of the cases that are selected for it: a loop in which
# logical devices compute as one, more replicas, TensorFlow's own sums.
FURTHER_FORMS = (
    "mirrored:2+as_one",
    "mirrored:4+loop",
    "mirrored:4+compiled",
    "workers:2+loop",
    "workers:2+compiled",
    "shared:3+loop",
    "shared:3+compiled",
)
COLUMNS = (*STRATEGIES, *FORMS, SHARES, *FURTHER_FORMS)


@dataclasses.dataclass(frozen=True)
class Case:
    """A small training that must end the same under every strategy.

    Args:
        name: Also that of its result file.
        feature: What it shows, as a row of the table.
        function: Called within a strategy's scope. Returns name -> array.
        precisions: Those in which it runs.
        default: Strategies under which the quick selection runs it in float64; the
            others are `slow`.
        examples: In an epoch; a counting metric may differ by one of them at a tie.
        deterministic: Whether it equals one device in value. If not, only two runs
            under the same strategy are compared.
    """

    name: str
    feature: str
    function: Callable[[], dict[str, Any]]
    precisions: tuple[str, ...] = ("float64",)
    default: tuple[str, ...] = ()
    examples: int = 145
    deterministic: bool = True
    strategies: tuple[str, ...] = STRATEGIES
    in_scope: bool = True


CASES: dict[str, Case] = {}
# Trainings that must be refused before their first step, by name.
REFUSALS: dict[str, "Refusal"] = {}


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A training that could not be right.

    Args:
        function: Called within a strategy's scope. Must raise `RefusedError`.
        message: Regular expression that its message must match.
        strategies: Those under which it is refused.
    """

    function: Callable[[], Any]
    message: str
    strategies: tuple[str, ...] = ("mirrored:2",)


def case(feature: str, **options: Any) -> Callable:
    """Adds the decorated function to `CASES`, under its own name."""

    def add(function: Callable) -> Callable:
        name = function.__name__
        if name in CASES:
            raise ValueError(f"two cases are called {name}")
        CASES[name] = Case(name, feature, function, **options)
        return function

    return add


def refusal(message: str, **options: Any) -> Callable:
    """Adds the decorated function to `REFUSALS`, under its own name."""

    def add(function: Callable) -> Callable:
        REFUSALS[function.__name__] = Refusal(function, message, **options)
        return function

    return add
