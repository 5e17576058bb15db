"""What a person reads while kerascale works.

Everything goes to standard error, so that standard output holds results alone
(`--json`).
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

from kerascale.runtime.capture import kept_above
from kerascale.runtime.live_view import MARK, LiveView
from kerascale.runtime.terminal import Screen

# A worker that is not the chief has nothing to add to what the chief says. What it
# says goes into a log; before the log is known, into this list.
_unsaid: list[str] | None = None
_log: pathlib.Path | None = None
# Where a view is drawn at this moment.
_shown: Screen | None = None


def say(text: str) -> None:
    """Prints one message for the person who watches the run."""
    if _unsaid is not None:
        _keep(text)
        return
    say_everywhere(text)


def hush() -> None:
    """From now on `say` prints nothing: another process speaks for this one."""
    global _unsaid
    if _unsaid is None:
        _unsaid = []


def log_to(path: str | os.PathLike) -> None:
    """Writes what was not said to a file, from the beginning."""
    global _log
    _log = pathlib.Path(path)
    _log.parent.mkdir(parents=True, exist_ok=True)
    lines, _unsaid[:] = list(_unsaid or ()), []
    for line in lines:
        _keep(line)


def _keep(text: str) -> None:
    _unsaid.append(text)
    if _log is None:
        return
    # On a full disk a line waits for the next one: no log ends a run.
    with contextlib.suppress(OSError), open(_log, "a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in _unsaid))
        file.flush()
        _unsaid.clear()


def say_everywhere(text: str) -> None:
    """Like `say`, also from a worker whose other messages go into a log."""
    tqdm = sys.modules.get("tqdm")
    if _shown is not None:
        _shown.line(text)
    elif tqdm is not None:  # There may be a bar, which must not be written over.
        tqdm.tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()
    else:
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def live() -> Iterator[None]:
    """Within it `show` may draw; behind it nothing of what was drawn is left."""
    global _shown
    if _is_passed_on() or not is_terminal():
        yield
        return
    screen = Screen(sys.stderr)
    try:
        with kept_above(screen):
            _shown = screen
            yield
    finally:
        _shown = None
        screen.show(None)


def is_live() -> bool:
    """Whether what `show` is given is seen."""
    return _shown is not None or _is_passed_on()


def show(view: LiveView | None) -> None:
    """Draws a view of what is going on, below all lines. None: takes it away."""
    if _shown is not None:
        _shown.show(view)
    elif _is_passed_on():
        text = MARK if view is None else view.to_line()
        print(text, file=sys.stderr, flush=True)


def _is_passed_on() -> bool:
    """Whether another process shows the views of this one."""
    return os.environ.get("KERASCALE_PROGRESS") == "bar" and not sys.stderr.isatty()


def is_terminal() -> bool:
    """Whether a person watches: what is going on may be redrawn in its place.

    KERASCALE_PROGRESS is `bar` where another process shows what this one writes on a
    terminal, and `off` where nobody should see it.
    """
    progress = os.environ.get("KERASCALE_PROGRESS", "")
    return progress == "bar" or (sys.stderr.isatty() and progress != "off")


def duration(seconds: float) -> str:
    """A duration as people write it: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(count: int, noun: str, *, plural: str | None = None) -> str:
    """A count as people write it: `1 file`, `2 files`, `109,216 cells`.

    Args:
        count: How many.
        noun: What one of them is called.
        plural: What several are called; None: `noun` with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
