"""Arguments of a command, read by tyro; every problem in them is named at once."""

import contextlib
import dataclasses
import io
import sys
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from kerascale.config.fields import fields, from_dict, nearest, to_dict, type_name
from kerascale.errors import RefusedError

T = TypeVar("T")

# A flag that takes True or False reads the same in a file and on the command line.
_MARKERS = (tyro.conf.FlagConversionOff, tyro.conf.OmitArgPrefixes)


def parse(
    command: type[T],
    arguments: Sequence[str],
    *,
    program: str,
    description: str | None = None,
    default: T | None = None,
) -> T:
    """Fills a dataclass from command-line arguments.

    Args:
        command: A dataclass; its fields may be dataclasses whose fields become
            flags of the same level.
        arguments: The arguments.
        program: Name shown in the help.
        description: Text shown in the help; None: the dataclass's docstring.
        default: Values of the flags that are not given.

    Raises:
        RefusedError: Naming every unknown flag and every value that cannot be read.
        SystemExit: With code 0 after `--help`.
    """
    arguments = _spelled_out(command, arguments)
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            return tyro.cli(
                command,
                prog=program,
                description=description,
                args=arguments,
                default=default,
                config=_MARKERS,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
    problems = _diagnose(command, arguments, default)
    raise RefusedError(
        problems or messages.getvalue().strip(),
        heading=f"wrong arguments ({program} --help documents them)",
    )


def _spelled_out(command: type, arguments: Sequence[str]) -> list[str]:
    """Every flag with dashes, and `True` behind a flag that stands for itself.

    A flag of several values may be given several times, for some of them each.
    """
    flags = _flags(command)
    spelled: list[str] = []
    for flag, values in _together(flags, _grouped(arguments)):
        name = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--"):
            flag = flag.replace("_", "-")
        is_switch = name in flags and flags[name][0] in (bool, bool | None)
        if is_switch:
            values = [value.capitalize() for value in values] or ["True"]
        spelled += [flag, *values]
    return spelled


def _together(
    flags: dict[str, tuple[Any, type]], grouped: list[tuple[str, list[str]]]
) -> list[tuple[str, list[str]]]:
    """The values of each flag that takes several, in the place of its first."""
    found: list[tuple[str, list[str]]] = []
    for flag, values in grouped:
        name = flag.removeprefix("--").replace("-", "_")
        takes_several = (
            name in flags and typing.get_origin(flags[name][0]) is tuple and values
        )
        first = next((own for known, own in found if known == flag), None)
        if takes_several and first is not None:
            first += values
        else:
            found.append((flag, values))
    return found


def _flags(command: type) -> dict[str, tuple[Any, type]]:
    """Flag name, with underscores -> its type, and the dataclass that it is of."""
    flags: dict[str, tuple[Any, type]] = {}
    for name, (hint, _) in fields(command).items():
        if dataclasses.is_dataclass(hint):
            flags.update(_flags(hint))
        else:
            flags[name] = (hint, command)
    return flags


def _diagnose(command: type, arguments: Sequence[str], default: Any) -> list[str]:
    """A message for each flag that is unknown or has a wrong value."""
    flags = _flags(command)
    problems = []
    values: dict[type, dict[str, Any]] = {}
    for flag, texts in _grouped(arguments):
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--"):
            problems.append(f"expected a flag, such as --json. Received: {flag}")
            continue
        if name not in flags:
            problems.append(f"{flag}: no such flag.{_suggestion(name, flags)}")
            continue
        hint, owner = flags[name]
        try:
            values.setdefault(owner, {})[name] = _read(hint, texts)
        except SystemExit:
            received = " ".join(texts) if texts else "nothing"
            problems.append(f"{flag}: expected {type_name(hint)}. Received: {received}")
    for owner in dict.fromkeys(owner for _, owner in flags.values()):
        read = values.get(owner, {})
        missing = [name for name in _required(owner) if name not in read]
        if missing and default is None:
            problems += [
                f"--{name.replace('_', '-')}: expected, and not given"
                for name in missing
            ]
            continue
        try:
            from_dict(owner, {**_defaults(default, owner), **read})
        except RefusedError as error:
            problems += error.problems
    return problems


def _required(owner: type) -> list[str]:
    none = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(owner)
        if field.default is none and field.default_factory is none
    ]


def _defaults(default: Any, owner: type) -> dict[str, Any]:
    """The values that the flags of one dataclass have if they are not given."""
    if default is None:
        return {}
    parts = [default, *(getattr(default, name) for name in fields(type(default)))]
    return next((to_dict(part) for part in parts if type(part) is owner), {})


def _suggestion(name: str, flags: Sequence[str]) -> str:
    suggestion = nearest(name, [f"--{flag}" for flag in flags])
    return suggestion.replace("_", "-")


def _grouped(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    groups: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            groups.append((flag, [value] if equals else []))
        elif groups and groups[-1][0].startswith("--"):
            groups[-1][1].append(argument)
        else:
            groups.append((argument, []))
    return groups


def flags_given(arguments: Sequence[str]) -> set[str]:
    """The names, with underscores, of the flags among some arguments."""
    return {
        flag.removeprefix("--").replace("-", "_")
        for flag, _ in _grouped(arguments)
        if flag.startswith("--")
    }


def values_of(arguments: Sequence[str], flag: str) -> list[str]:
    """All values of a flag, wanted before the other flags can be read."""
    return [
        value
        for name, values in _grouped(arguments)
        if name == flag
        for value in values
    ]


def value_of(arguments: Sequence[str], flag: str) -> str | None:
    """The first value of a flag, wanted before the other flags can be read."""
    return next(iter(values_of(arguments, flag)), None)


def _read(hint: Any, texts: list[str]) -> Any:
    single = dataclasses.make_dataclass("Single", [("value", hint)])
    with contextlib.redirect_stderr(io.StringIO()):
        return tyro.cli(single, args=["--value", *texts], config=_MARKERS).value


def wants_help(arguments: Sequence[str]) -> bool:
    return any(argument in ("-h", "--help") for argument in arguments)


def positional(
    arguments: Sequence[str],
    names: Sequence[str],
    *,
    program: str,
    usage: str,
    options: type | None = None,
) -> tuple[list[str], list[str]]:
    """Takes the leading positional arguments off.

    Args:
        arguments: The arguments.
        names: What each positional argument is, such as `RECIPE`.
        program: Name shown in messages.
        usage: The line that shows how to call it.
        options: The dataclass of the flags behind them, which help documents; None:
            the flags depend on the positional arguments.

    Returns:
        The positional arguments, and the rest.

    Raises:
        RefusedError: If there are too few.
        SystemExit: With code 0 if help was asked for.
    """
    given = list(arguments)
    if options is not None and wants_help(given):
        parse(options, ["--help"], program=" ".join([program, *names]))
    for i, name in enumerate(names):
        if i < len(given) and not given[i].startswith("-"):
            continue
        if wants_help(given):
            print(f"usage: {program} {usage}")
            sys.exit(0)
        raise RefusedError(
            f"expected {name}. Received: {' '.join(given[:i]) or 'nothing'}. "
            f"Usage: {program} {usage}"
        )
    return given[: len(names)], given[len(names) :]
