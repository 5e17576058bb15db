"""Checks of constructor arguments, shared by layers and models."""

import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def is_integer(value: Any) -> bool:
    """True for integers, those of NumPy too, and not for `True` and `False`."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def positive_int(name: str, value: Any) -> int:
    """Returns `value` as an `int`, or refuses it."""
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r} "
            f"(of type {type(value).__name__})."
        )
    return int(value)


def positive_ints(
    name: str, value: Any, *, may_be_empty: bool = False
) -> tuple[int, ...]:
    """Returns `value` as a tuple of `int`, or refuses it."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    good = is_sequence and all(is_integer(item) and item > 0 for item in value)
    if not good or (not value and not may_be_empty):
        example = value if is_integer(value) and value > 0 else 64
        raise ValueError(
            f"`{name}` must be a {'' if may_be_empty else 'non-empty '}sequence of "
            f"positive integers, one for each layer. Received: {name}={value!r}. "
            f"Write for example {name}=({example},)."
        )
    return tuple(int(item) for item in value)


def fraction(name: str, value: Any) -> float:
    """Returns `value`, a number from 0 up to but not including 1, as a `float`."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value < 1:
        raise ValueError(
            f"`{name}` must be a number from 0 up to, but not including, 1: the "
            f"fraction of values that are dropped. Received: {name}={value!r}."
        )
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Returns `value` if it is `True` or `False`, or refuses it."""
    if not isinstance(value, bool):
        raise ValueError(
            f"`{name}` must be True or False. Received: {name}={value!r} "
            f"(of type {type(value).__name__})."
        )
    return value


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`, or refuses it."""
    choices = tuple(choices)
    if value not in choices:
        listed = ", ".join(repr(item) for item in choices)
        raise ValueError(
            f"`{name}` must be one of {listed}. Received: {name}={value!r}."
        )
    return value


def keras_object(
    name: str, value: Any, get: Callable[[Any], Any], kind: type | None, what: str
) -> Any:
    """Resolves a name, a configuration or an object as Keras does.

    Args:
        name: Name of the argument, for the message.
        value: What the user gave.
        get: Keras' own look-up, such as `keras.regularizers.get`.
        kind: Class that the result must have, or `None` for no such check. What
            has no class cannot be written into a `.keras` file.
        what: What was expected, for the message.
    """
    try:
        found = get(value)
    except (ValueError, TypeError) as error:
        raise ValueError(_not_found(name, value, what)) from error
    if kind is not None and not isinstance(found, kind):
        raise ValueError(_not_found(name, value, what))
    return found


def _not_found(name: str, value: Any, what: str) -> str:
    return (
        f"`{name}` must be {what}, its name or its configuration. "
        f"Received: {name}={value!r}."
    )
