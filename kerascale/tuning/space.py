"""What is searched: fields of a configuration, and the values that each may take."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.config.fields import fields, from_dict, type_name, unknown_field
from kerascale.errors import RefusedError

_USAGE = (
    "NAME=LOW..HIGH, NAME=LOW..HIGH/STEP, NAME=log:LOW..HIGH or NAME=[VALUE,VALUE,...]"
)
# Fields that decide what is compared.
_OF_COMPARISON = (
    *("dataset", "label", "test_data", "validation_fraction", "hold_out_validation"),
    *("fold", "folds", "group", "time", "monitor", "monitor_mode"),
)
# What Optuna takes as a choice; anything else goes by its text.
_SCALARS = (bool, int, float, str, type(None))


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A field that is searched.

    Args:
        name: The field.
        text: Its values, as they were typed.
        choices: The values; empty for a range.
        low: The smallest value of a range.
        high: The largest one.
        log: Whether small values are looked at as closely as large ones.
        step: What values of a range are apart; None: any number, or 1 for integers.
        is_integer: Whether the field takes whole numbers.
    """

    name: str
    text: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    is_integer: bool = False

    @property
    def listed(self) -> tuple[Any, ...] | None:
        """All values, as Optuna has them; None: there is no end of them."""
        if self.choices:
            return tuple(
                choice if isinstance(choice, _SCALARS) else _plain(choice)
                for choice in self.choices
            )
        if self.log or (self.step is None and not self.is_integer):
            return None
        step = self.step or 1
        count = int((self.high - self.low) / step + 1e-9) + 1
        values = [self.low + i * step for i in range(count)]
        return tuple(int(v) for v in values) if self.is_integer else tuple(values)

    def value(self, chosen: Any) -> Any:
        """The field's value for what Optuna has chosen."""
        if self.choices:
            return self.choices[self.listed.index(chosen)]
        return int(chosen) if self.is_integer else float(chosen)

    @property
    def example(self) -> Any:
        """A value, to try the rest of a configuration with."""
        return self.choices[0] if self.choices else self.value(self.low)


def parse(config_type: type, texts: Sequence[str]) -> tuple[Dimension, ...]:
    """The dimensions of a search, as they are typed.

    Args:
        config_type: The recipe's `Config`.
        texts: `NAME=LOW..HIGH`, with `log:` before the numbers or `/STEP` behind them;
            or `NAME=[VALUE,VALUE]`, where a value is typed as behind the field's flag.

    Raises:
        RefusedError: With everything that is wrong with them.
    """
    found: dict[str, Dimension] = {}
    problems: list[str] = []
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values.strip():
            problems.append(f"--field: expected {_USAGE}. Received: {text!r}.")
        elif name not in fields(config_type):
            problems.append(f"--field {unknown_field(name, config_type)}")
        elif name in _OF_COMPARISON:
            problems.append(
                f"--field {name}: expected a field that leaves the examples and the "
                "score as they are, by which trials are compared. Received: one that "
                "decides them. Set it for all trials by its own flag."
            )
        elif name in found:
            problems.append(f"--field {name}: expected once. Received: twice.")
        else:
            try:
                found[name] = _dimension(config_type, name, values.strip())
            except RefusedError as error:
                problems += [f"--field {problem}" for problem in error.problems]
    if not texts:
        problems.append(f"--field: expected at least one, {_USAGE}. Received: none.")
    if problems:
        raise RefusedError(problems, heading="tune")
    return tuple(found.values())


def values_of(
    dimensions: Sequence[Dimension], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Field -> value of what Optuna has chosen."""
    return {each.name: each.value(params[each.name]) for each in dimensions}


def _dimension(config_type: type, name: str, text: str) -> Dimension:
    hint, _ = fields(config_type)[name]
    if text.startswith("["):
        if not text.endswith("]"):
            raise RefusedError(f"{name}: expected a ] at the end. Received: {text!r}.")
        parts = [part.strip() for part in text[1:-1].split(",")]
        if parts == [""]:
            raise RefusedError(
                f"{name}: expected at least one value. Received: an empty list."
            )
        choices = _checked(config_type, name, [_read(hint, p, name) for p in parts])
        return Dimension(name, text, choices=choices)
    is_integer = _is(hint, int)
    if not (is_integer or _is(hint, float)):
        raise RefusedError(
            f"{name}: expected values in brackets, such as {name}=[A,B], as it takes "
            f"{type_name(hint)}. Received: {text!r}."
        )
    log, rest = text.startswith("log:"), text.removeprefix("log:")
    rest, _, step_text = rest.partition("/")
    low_text, dots, high_text = rest.partition("..")
    if not dots:
        raise RefusedError(f"{name}: expected {_USAGE}. Received: {text!r}.")
    kind = int if is_integer else float
    low, high = _number(kind, low_text, name), _number(kind, high_text, name)
    step = _number(kind, step_text, name) if step_text else None
    problems = []
    if not low < high:
        problems.append(
            f"{name}: expected a range whose first number is the smaller one. "
            f"Received: {text!r}, which is empty."
        )
    if log and low <= 0:
        problems.append(
            f"{name}: expected numbers above 0 behind log:. Received: {low}."
        )
    if step is not None and (log or step <= 0 or step > high - low):
        problems.append(
            f"{name}: expected a step above 0 within the range, and no log:. Received: "
            f"{text!r}."
        )
    if problems:
        raise RefusedError(problems, heading=name)
    if step is not None:  # Optuna's own would not try the end of such a range.
        high = low + int((high - low) / step + 1e-9) * step
    _checked(config_type, name, [low, high])
    return Dimension(
        name, text, low=low, high=high, log=log, step=step, is_integer=is_integer
    )


def _checked(config_type: type, name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values, if the field may have them."""
    problems = []
    for value in values:
        try:
            from_dict(config_type, {name: value})
        except RefusedError as error:
            # Some values go only with those of other fields.
            problems += [p for p in error.problems if p.startswith(f"{name}: expected")]
    if len({repr(value) for value in values}) < len(values):
        problems.append(f"{name}: expected each value once. Received: {list(values)}.")
    if problems:
        raise RefusedError(list(dict.fromkeys(problems)), heading=name)
    return tuple(values)


def _is(hint: Any, kind: type) -> bool:
    return hint is kind or (
        kind in typing.get_args(hint)
        and typing.get_origin(hint) not in (tuple, typing.Literal)
    )


def _read(hint: Any, text: str, name: str) -> Any:
    """A value as it is typed behind the field's flag."""
    options = typing.get_args(hint)
    if type(None) in options and text == "None":
        return None
    if typing.get_origin(hint) is tuple:
        return tuple(_read(options[0], part, name) for part in text.split())
    if typing.get_origin(hint) is typing.Literal:
        return next((option for option in options if str(option) == text), text)
    for kind in (bool, int, float):
        if hint is kind or kind in options:
            return text == "True" if kind is bool else _number(kind, text, name)
    return text


def _number(kind: type, text: str, name: str) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        what = "a whole number" if kind is int else "a number"
        raise RefusedError(f"{name}: expected {what}. Received: {text!r}.")
    return number


def _plain(value: Sequence[Any]) -> str:
    """A value of several, as it is typed."""
    return " ".join(map(str, value))
