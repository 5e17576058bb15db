"""Rules of a layout: which variables they speak of, and how those are cut."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from kerascale.errors import RefusedError

# The axis of each dimension, None: whole along it. (): whole, of any rank.
Cut = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class Described:
    """A variable, as rules see it.

    Args:
        path: As Keras has it: `model/layer/.../name`.
        shape: Its size.
        itemsize: Bytes of a number.
        layer: The layer that holds it; None: that is not known.
        always_whole: Whether it is the state of a generator of seeds.
    """

    path: str
    shape: tuple[int, ...]
    itemsize: int = 4
    layer: Any = None
    always_whole: bool = False

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which variables it speaks of, and how they may be cut.

    Args:
        key: A regular expression that is searched for in a variable's path; a tuple of
            sizes, None for any; a class of layers; or such a class and the name of a
            variable in it.
        cuts: The first one is taken whose axes divide the variable's sizes.
        is_shipped: Whether it may speak of no variable of a model, and name an axis
            that a mesh has not.
    """

    key: Any
    cuts: tuple[Cut, ...]
    is_shipped: bool = False

    def matches(self, variable: Described) -> bool:
        """Whether it speaks of a variable."""
        key = self.key
        if isinstance(key, str):
            return re.search(key, variable.path) is not None
        if isinstance(key, type):
            return isinstance(variable.layer, key)
        if isinstance(key[0], type):
            return isinstance(variable.layer, key[0]) and variable.name == key[1]
        return len(key) == len(variable.shape) and all(
            size in (None, own) for size, own in zip(key, variable.shape, strict=True)
        )

    def __str__(self) -> str:
        if isinstance(self.key, type):
            return self.key.__name__
        if isinstance(self.key, tuple) and isinstance(self.key[0], type):
            return f"({self.key[0].__name__}, {self.key[1]!r})"
        return repr(self.key)


def rules_of(layout: Mapping[Any, Any]) -> list[Rule]:
    """The rules of a dict.

    Args:
        layout: Key -> a cut, or a list of cuts, the first one that divides is taken.
            See `Rule`. A cut is a tuple with the name of an axis, or None, for each
            dimension; `()` leaves a variable whole.

    Raises:
        RefusedError: Naming every entry that is no rule.
    """
    rules, problems = [], []
    for key, value in layout.items():
        cuts = value if isinstance(value, list) else [value]
        problem = _problem_of_key(key)
        if not cuts or not all(_is_cut(cut) for cut in cuts):
            problem = (
                "expected a tuple with an axis or None for each dimension, or a list "
                f"of such. Received: {value!r}"
            )
        if problem:
            problems.append(f"layout: {key!r}: {problem}.")
        else:
            rules.append(Rule(key, tuple(cuts)))
    if problems:
        raise RefusedError(problems, heading="layout")
    return rules


def _is_cut(cut: Any) -> bool:
    return isinstance(cut, tuple) and all(
        axis is None or isinstance(axis, str) for axis in cut
    )


def _problem_of_key(key: Any) -> str:
    if isinstance(key, str):
        try:
            re.compile(key)
        except re.error as error:
            return f"expected a regular expression. Received one with: {error}"
        return ""
    if isinstance(key, type):
        return ""
    if isinstance(key, tuple) and key:
        if isinstance(key[0], type):
            return "" if len(key) == 2 and isinstance(key[1], str) else _KEY
        if all(size is None or type(size) is int for size in key):
            return ""
    return _KEY


_KEY = (
    "expected a regular expression, a tuple of sizes, a class of layers, or (class, "
    "name of a variable)"
)
