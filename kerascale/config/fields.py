"""Fields of a configuration: their limits, checks, documentation, and files of them.

The limits of a field stand in its type (`PositiveFloat`), so that one place checks
every recipe, and a problem is reported before TensorFlow is imported.
"""

import ast
import dataclasses
import difflib
import inspect
import itertools
import json
import math
import pathlib
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import typeguard

from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class Limits:
    """The range of a number, for `typing.Annotated`. NaN and infinity never pass."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    def problem(self, value: float) -> str | None:
        """What is wrong with `value`, or None."""
        too_low = (self.above is not None and value <= self.above) or (
            self.at_least is not None and value < self.at_least
        )
        too_high = (self.below is not None and value >= self.below) or (
            self.at_most is not None and value > self.at_most
        )
        try:
            finite = math.isfinite(value)
        except OverflowError:  # An integer with hundreds of digits.
            finite = False
        if too_low or too_high or not finite:
            return f"expected {self}. Received: {value!r}"
        return None

    def __str__(self) -> str:
        parts = [
            f"{sign} {limit}"
            for sign, limit in (
                (">", self.above),
                (">=", self.at_least),
                ("<", self.below),
                ("<=", self.at_most),
            )
            if limit is not None
        ]
        return "a finite number " + " and ".join(parts)


# TensorFlow counts steps and sizes in 64 bits, shapes and most kernels in 32.
PositiveInt = Annotated[int, Limits(at_least=1, below=2**31)]
NonNegativeInt = Annotated[int, Limits(at_least=0, below=2**31)]
PositiveFloat = Annotated[float, Limits(above=0)]
NonNegativeFloat = Annotated[float, Limits(at_least=0)]
Share = Annotated[float, Limits(at_least=0, below=1)]
# A seed has 63 bits; TensorFlow's generators take no more.
Seed = Annotated[int, Limits(at_least=0, below=2**63)]


def fields(config_type: type) -> dict[str, tuple[Any, Limits | None]]:
    """Each field's type without its limits, and the limits.

    Args:
        config_type: A dataclass.

    Returns:
        Field name -> (type, limits or None), in order.
    """
    hints = typing.get_type_hints(config_type, include_extras=True)
    return {
        field.name: _split_hint(hints[field.name])
        for field in dataclasses.fields(config_type)
    }


def _split_hint(hint: Any) -> tuple[Any, Limits | None]:
    """Takes `Limits` out of `Annotated[...]`, also inside `... | None` and tuples."""
    if typing.get_origin(hint) is Annotated:
        limits = [m for m in hint.__metadata__ if isinstance(m, Limits)]
        return hint.__origin__, limits[0] if limits else None
    options = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and options[-1] is Ellipsis:
        inner, limits = _split_hint(options[0])
        return tuple[inner, ...], limits
    if type(None) in options:
        for option in options:
            inner, limits = _split_hint(option)
            if limits is not None:
                return inner | None, limits
    return hint, None


def check(config: Any) -> list[str]:
    """Every wrong type and impossible value of a configuration.

    Args:
        config: An instance of any dataclass.

    Returns:
        One message per problem, beginning with the field's name.
    """
    values = ((name, getattr(config, name)) for name in fields(type(config)))
    return list(_problems(type(config), values))


def _problems(
    config_type: type, values: typing.Iterable[tuple[str, Any]]
) -> Iterator[str]:
    declared = fields(config_type)
    for name, value in values:
        hint, limits = declared[name]
        if not _has_type(value, hint):
            yield f"{name}: expected {type_name(hint)}. Received: {value!r}"
        elif limits is not None:
            numbers = value if isinstance(value, tuple) else (value,)
            for number in numbers:
                problem = None if number is None else limits.problem(number)
                if problem:
                    yield f"{name}: {problem}"


def _has_type(value: Any, hint: Any) -> bool:
    if isinstance(value, bool) and hint is not bool:
        # A bool is an int to Python, and an accident in a configuration.
        return bool in typing.get_args(hint)
    try:
        typeguard.check_type(
            value,
            hint,
            collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
        )
    except typeguard.TypeCheckError:
        return False
    return True


def type_name(hint: Any) -> str:
    """A type as a person would say it: `one of sgd, adam`, `an integer or None`."""
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return f"a tuple, each {type_name(typing.get_args(hint)[0])}"
    if type(None) in typing.get_args(hint):
        rest = [option for option in typing.get_args(hint) if option is not type(None)]
        return " or ".join([*map(type_name, rest), "None"])
    names = {int: "an integer", float: "a number", str: "text", bool: "True or False"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def nearest(name: str, names: typing.Iterable[str]) -> str:
    """` Did you mean ...?` for a misspelt name, or an empty string."""
    found = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def unknown_field(name: str, config_type: type) -> str:
    """The message for a field that a configuration does not have."""
    return f"{name}: no such field.{nearest(name, fields(config_type))}"


def from_dict(config_type: type, values: Mapping[str, Any]) -> Any:
    """A configuration out of plain values, such as JSON has.

    Args:
        config_type: The recipe's `Config`.
        values: Field name -> value; lists stand for tuples. Missing fields keep
            their defaults.

    Returns:
        An instance of `config_type`.

    Raises:
        RefusedError: Naming every unknown field, wrong type and impossible value.
    """
    known = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in fields(config_type)
    }
    problems = [
        unknown_field(name, config_type) for name in values if name not in known
    ]
    problems += _problems(config_type, known.items())
    if problems:
        raise RefusedError(problems, heading=config_type.__qualname__)
    return config_type(**known)


def to_dict(config: Any) -> dict[str, Any]:
    """Field name -> value, as JSON can hold it."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name in fields(type(config))
        for value in [getattr(config, name)]
    }


def read_file(path: str | pathlib.Path) -> dict[str, Any]:
    """A JSON file: a run's `config.json`, or the fields alone.

    Returns:
        The run's content; of a file of fields, `{"fields": ...}`.

    Raises:
        RefusedError: If the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(
            f"--config: expected a readable JSON file. Received: {path} "
            f"({error.strerror})."
        ) from error
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            f"--config: expected JSON. Received: {path} ({error})."
        ) from error
    if isinstance(content, dict) and "fields" not in content:
        content = {"fields": content}
    if not isinstance(content, dict) or not isinstance(content["fields"], dict):
        raise RefusedError(
            "--config: expected a JSON object of fields, or a run's config.json. "
            f"Received: {path}, which holds something else."
        )
    return content


def field_docs(config_type: type) -> dict[str, str]:
    """The docstring below each field, those of base classes included.

    Returns:
        Field name -> text in one line; fields without a docstring are left out.
    """
    docs: dict[str, str] = {}
    for base in reversed(config_type.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        body = tree.body[0].body
        for statement, following in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                docs[statement.target.id] = " ".join(following.value.value.split())
    return docs
