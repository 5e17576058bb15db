"""What a column of a table is, and what the training rows say of it."""

import dataclasses
import keyword
import re
from collections.abc import Sequence
from typing import Any, Literal

ColumnKind = Literal["number", "category", "boolean", "date", "text", "ignored"]
KINDS: tuple[ColumnKind, ...] = (
    "number",
    "category",
    "boolean",
    "date",
    "text",
    "ignored",
)
DateOrder = Literal["ymd", "dmy", "mdy"]

# Cells that stand for a gap among numbers and dates, in lower case, without blanks.
GAPS = ("", "na", "n/a", "nan", "null", "none", "?", "-")
MAX_CATEGORIES = 100
MAX_WORDS = 256


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of features.

    Args:
        name: As the file has it.
        kind: What it was taken for.
        why: The reason, in a few words.
        input_name: What a client of an export calls it: a name that TensorFlow takes.
        gaps: Cells that stand for a gap, as they are written, beside those of `GAPS`.
        order: Of a date: which of year, month and day comes first.
        max_categories: The most that are told apart; the others are rare ones.
        max_words: Of a text: the most words that are told apart.
        values: Of a category or boolean: those that are told apart, the most frequent
            first; of a text: its words. From the training rows, as all that follows.
        shares: Of each value, the share of training rows that have it.
        has_gaps: Whether a training row has a gap, so that it was learned what one is.
        has_rare: Whether a training row has another value than `values`.
        mean: Of a number, and of a date in days since 1970.
        scale: Standard deviation of the same.
        edges: Quantiles of the same, in ascending order.
        has_times: Of a date: whether training rows differ in their time of day.
    """

    name: str
    kind: ColumnKind
    why: str = ""
    input_name: str = ""
    gaps: tuple[str, ...] = ()
    order: DateOrder | None = None
    max_categories: int = MAX_CATEGORIES
    max_words: int = MAX_WORDS
    values: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    has_gaps: bool = False
    has_rare: bool = False
    mean: float = 0.0
    scale: float = 1.0
    edges: tuple[float, ...] = ()
    has_times: bool = False

    @property
    def width(self) -> int:
        """Numbers that stand for a cell in memory."""
        if self.kind == "text":
            return len(self.values)
        return {"ignored": 0, "date": 4}.get(self.kind, 1)

    def shown(self) -> dict[str, str]:
        """What became of it, for a person."""
        names = ("name", "kind", "why", "input_name", "summary")
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what has its default."""
        values = dataclasses.asdict(self)
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        kept = {n: v for n, v in values.items() if v != defaults.get(n)}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in kept.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Column":
        return cls(
            **{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        )

    @property
    def summary(self) -> str:
        """What became of it, for a person."""
        if self.kind == "ignored":
            return "left out"
        parts = []
        if self.kind in ("category", "boolean"):
            parts.append(f"{len(self.values)} values")
            parts += ["rare and unknown ones together"] if self.has_rare else []
        elif self.kind == "text":
            parts.append(f"{len(self.values)} words")
        elif self.kind == "date":
            parts.append({"ymd": "year first", "dmy": "day first"}.get(self.order, ""))
            parts[0] = parts[0] or "month first"
        else:
            parts.append(f"mean {self.mean:.4g}, deviation {self.scale:.4g}")
        parts += ["gaps"] if self.has_gaps else []
        return ", ".join(parts)


def input_names(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """A name for each column that TensorFlow and Python take, each once.

    A `keras.Input` with a keyword of Python for a name cannot be exported, nor one with
    a slash.
    """
    found: list[str] = list(taken)
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "column"
        if plain[0].isdigit():
            plain = f"column_{plain}"
        if keyword.iskeyword(plain) or plain in ("self", "inputs"):
            plain += "_"
        base, number = plain, 2
        # TensorFlow's names of tensors do not tell capitals apart in all places.
        while plain.lower() in {each.lower() for each in found}:
            plain, number = f"{base}_{number}", number + 1
        found.append(plain)
    return found[len(taken) :]
