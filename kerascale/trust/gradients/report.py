"""What a check of gradients has found."""

import dataclasses
from typing import Any, Literal

Verdict = Literal["right", "kink", "zero", "wrong"]

_WORDS = {
    "right": "right",
    "kink": "right, beside kinks",
    "zero": "zero, as it is",
    "wrong": "WRONG",
}


@dataclasses.dataclass(frozen=True)
class Element:
    """One derivative, by both ways.

    Args:
        index: Of the element.
        automatic: As training has it.
        numeric: As differences of the loss have it.
    """

    index: tuple[int, ...]
    automatic: float
    numeric: float

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        return f"[{place}]: automatic {self.automatic:.6g}, numeric {self.numeric:.6g}"


@dataclasses.dataclass(frozen=True)
class Row:
    """The gradient by one variable, or by one input.

    Args:
        what: `variable`, `input`.
        name: Its path.
        shape: Its shape.
        where: What computed the automatic gradient, such as `mirrored:2`.
        verdict: `right`; `kink`: right, but where a ReLU or its like bends within the
            differences; `zero`: the loss does not depend on it, and the gradient says
            so; `wrong`.
        error: The largest relative difference in any direction and element.
        worst: The element with the largest difference of those that were looked at.
        missing: Whether there is no automatic gradient at all.
    """

    what: str
    name: str
    shape: tuple[int, ...]
    where: str
    verdict: Verdict
    error: float
    worst: Element | None = None
    missing: bool = False

    def text(self) -> str:
        """A line for a person."""
        shape = "x".join(map(str, self.shape)) or "scalar"
        line = f"{self.name} ({shape}), {self.where}: {_WORDS[self.verdict]}"
        if self.missing:
            line += ", there is no gradient"
        if self.verdict in ("right", "kink"):
            return f"{line}, {self.error:.0e}"
        if self.verdict == "wrong" and self.worst is not None:
            return f"{line}, by {self.error:.2g} of it; worst {self.worst}"
        return line


@dataclasses.dataclass(frozen=True)
class Report:
    """All of them. It is true if none is wrong.

    Args:
        subject: What was checked.
        rows: A row for each variable and input, in each way to compute it.
        loss: Value of the loss.
        notes: What a reader must know.
        guilty: Layers that are wrong by themselves.
    """

    subject: str
    rows: tuple[Row, ...]
    loss: float
    notes: tuple[str, ...] = ()
    guilty: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.wrong

    @property
    def wrong(self) -> tuple[Row, ...]:
        """Those that are wrong, the worst first."""
        found = [row for row in self.rows if row.verdict == "wrong"]
        return tuple(sorted(found, key=lambda row: -row.error))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "subject": self.subject,
            "right": bool(self),
            "loss": self.loss,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "notes": list(self.notes),
            "wrong_by_themselves": list(self.guilty),
        }

    def text(self) -> str:
        """For a person: every row, and what is wrong at the end."""
        lines = [f"{self.subject}: loss {self.loss:.6g}"]
        lines += [f"  {row.text()}" for row in self.rows]
        lines += [f"  note: {note}" for note in self.notes]
        if self:
            where = list(dict.fromkeys(row.where for row in self.rows))
            lines.append(
                f"All {len(self.rows)} gradients are right ({', '.join(where)})."
            )
            return "\n".join(lines)
        lines.append(f"{len(self.wrong)} of {len(self.rows)} gradients are WRONG:")
        lines += [f"  {row.text()}" for row in self.wrong]
        if self.guilty:
            lines.append(f"Wrong by themselves: {', '.join(self.guilty)}.")
        return "\n".join(lines)
