"""What the owner of a table says of its columns: `--columns FILE`."""

import json
import pathlib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.config.fields import nearest
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.datasets.tables.column import KINDS, Column
from kerascale.errors import RefusedError

SUFFIXES = (".toml", ".json")
_KEYS = ("type", "gaps", "order", "max_categories", "max_words")
_FORM = (
    '[columns.age] type = "number" in TOML, or {"columns": {"age": {"type": '
    '"number"}}} in JSON'
)


def file_of(columns: Sequence[str]) -> str | None:
    """The file among the values of `--columns`; None: they are names of columns."""
    is_file = len(columns) == 1 and columns[0].lower().endswith(SUFFIXES)
    return columns[0] if is_file else None


def read(path: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a file says of each column.

    Args:
        path: TOML or JSON: in `columns`, by name, an object with `type` (number,
            category, boolean, date, text or ignored) and perhaps `gaps` (cells that
            stand for a gap), `order` (of a date: ymd, dmy or mdy), `max_categories`
            and `max_words`; or the type alone.
        names: Columns that there are.

    Raises:
        RefusedError: With everything that is wrong with it.
    """
    try:
        content = pathlib.Path(path).read_text(encoding="utf-8")
        load = tomllib.loads if path.lower().endswith(".toml") else json.loads
        columns = load(content).get("columns")
    except (OSError, ValueError, AttributeError) as error:
        raise RefusedError(
            f"--columns: expected a file such as {_FORM}. Received: {path} ({error})."
        ) from error
    if not isinstance(columns, dict):
        raise RefusedError(
            f"--columns: expected {_FORM}. Received: {path}, which has no columns."
        )
    problems = Problems(f"--columns {path}")
    found = {}
    for name, said in columns.items():
        said = {"type": said} if isinstance(said, str) else said
        if name not in names:
            problems.add(
                f"{name}: expected one of {listing(names)}. Received: {name!r}."
                f"{nearest(name, names)}"
            )
        elif not isinstance(said, dict):
            problems.add(f"{name}: expected an object. Received: {said!r:.80}.")
        else:
            for problem in _problems(said):
                problems.add(f"{name}: {problem}")
            gaps = said.get("gaps", ())
            found[name] = {**said, "gaps": tuple(gaps)} if gaps else dict(said)
    problems.raise_if_any()
    return found


def _problems(said: Mapping[str, Any]) -> list[str]:
    found = [
        f"expected {listing(_KEYS)}. Received: {key!r}.{nearest(key, _KEYS)}"
        for key in said
        if key not in _KEYS
    ]
    expected = {
        "type": (lambda v: v in KINDS, listing(KINDS)),
        "gaps": (_is_texts, "a list of texts"),
        "order": (lambda v: v in ("ymd", "dmy", "mdy"), "'ymd', 'dmy', 'mdy'"),
        "max_categories": (_is_count, "a positive integer"),
        "max_words": (_is_count, "a positive integer"),
    }
    for key, (is_right, what) in expected.items():
        if key in said and not is_right(said[key]):
            found.append(f"{key}: expected {what}. Received: {said[key]!r:.80}.")
    return found


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def written(columns: Sequence[Column]) -> str:
    """What was decided, as a file that `--columns` takes."""
    found = {}
    for column in columns:
        said: dict[str, Any] = {"type": column.kind}
        if column.gaps:
            said["gaps"] = list(column.gaps)
        if column.order:
            said["order"] = column.order
        found[column.name] = said
    return json.dumps({"columns": found}, indent=1, ensure_ascii=False) + "\n"
