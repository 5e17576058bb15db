"""What is seen of a training while it runs, laid out for any width."""

import dataclasses
import json

# A line of a worker that is no line, but a view for the launcher to show.
MARK = "\x1e"

_GAP = "  "
_BAR = (8, 40)


@dataclasses.dataclass(frozen=True)
class LiveView:
    """What is shown, in parts that are never cut into two.

    Args:
        head: Where the training is.
        share: Of the whole training, what is done: from 0 to 1.
        left: The time that is left.
        items: Everything else.
    """

    head: tuple[str, ...]
    share: float
    left: str
    items: tuple[str, ...]

    def to_line(self) -> str:
        """A line by which another process can show it."""
        return MARK + json.dumps(dataclasses.astuple(self))

    @classmethod
    def from_line(cls, line: str) -> "LiveView | None":
        """The other side of `to_line`; None: it is no such line, or no view."""
        try:
            head, share, left, items = json.loads(line.removeprefix(MARK))
        except (ValueError, TypeError):
            return None
        return cls(tuple(head), share, left, tuple(items))


def lay_out(view: LiveView, columns: int, is_unicode: bool = True) -> list[str]:
    """The lines of a view, none of them longer than `columns`.

    Args:
        view: What is shown.
        columns: Characters in a line.
        is_unicode: Whether the terminal has more than ASCII.
    """
    # Rounded down: 100 % is what is done.
    percent = f"{int(view.share * 100):3d}%"
    head = _GAP.join(view.head)
    room = columns - len(_GAP.join((head, percent, view.left))) - len(_GAP)
    if room < _BAR[0]:
        lines = flow((*view.head, percent.strip(), view.left), columns)
    else:
        bar = _bar(view.share, min(room, _BAR[1]), is_unicode)
        lines = [_GAP.join((head, bar, percent, view.left))]
    return lines + flow(view.items, columns)


def _bar(share: float, width: int, is_unicode: bool) -> str:
    full, empty = ("\N{FULL BLOCK}", "\N{LIGHT SHADE}") if is_unicode else ("#", ".")
    done = int(share * width)
    return full * done + empty * (width - done)


def flow(items: tuple[str, ...], columns: int) -> list[str]:
    """As many items in each line as fit; one that is longer than a line is cut."""
    lines: list[str] = []
    for item in items:
        if len(item) > columns:
            item = item[: max(columns - 3, 0)] + "..."[:columns]
        if lines and len(lines[-1]) + len(_GAP) + len(item) <= columns:
            lines[-1] += _GAP + item
        else:
            lines.append(item)
    return lines
