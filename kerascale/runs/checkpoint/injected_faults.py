"""Faults on demand: a testing aid that strikes at a named point of a save.

The environment variable KERASCALE_FAULT is read once, when this module is imported:

    KERASCALE_FAULT=save:POINT:ACTION[:step=N|:from=N]

    save:before-rename:kill          SIGKILL to the own process
    save:after-fsync:term            SIGTERM to the own process
    save:before-manifest:sleep=5     seconds
    save:during-arrays:error=28      an OSError of this errno, here a full disk
    save:before-rename:kill:step=40  only in the save of this step
    save:before-rename:kill:from=40  only in saves of this step and later ones

Unset or empty, it does nothing, which is what everybody wants outside of tests.
"""

import dataclasses
import os
import re
import signal
import time

from kerascale.errors import RefusedError

VARIABLE = "KERASCALE_FAULT"

# In the order in which a save comes by.
POINTS = (
    "save:start",  # Nothing is written yet.
    "save:during-arrays",  # Half of the arrays are written.
    "save:before-fsync",  # The arrays are written, none is certain to be on the disk.
    "save:after-fsync",  # The arrays are on the disk, the metadata is not there.
    "save:before-manifest",  # All is on the disk but the manifest.
    "save:after-manifest",  # All is on the disk, unverified.
    "save:before-rename",  # Verified, and still hidden.
    "save:between-renames",  # One of the same step is moved away to be replaced.
    "save:after-rename",  # Visible; the folder above is not flushed.
    "save:before-prune",  # Committed.
    "save:during-prune",  # An old one is hidden, and about to be removed.
    "save:end",  # Old ones are removed.
)

# In each process that has a part of what is cut over several, the first one too.
PART_POINTS = (
    "save:during-part",  # Half of its pieces are written.
    "save:after-part",  # They are on the disk; the first process was not told.
)

_ALL = (*POINTS, *PART_POINTS)

_EXPECTED = re.compile(
    r"(?P<point>save:[a-z-]+)"
    r":(?P<action>kill|term|sleep=(?P<seconds>[0-9.]+)|error=(?P<number>[0-9]+))"
    r"(:step=(?P<step>[0-9]+)|:from=(?P<first>[0-9]+))?"
)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens where.

    Args:
        point: One of `POINTS` or `PART_POINTS`.
        action: `kill`, `term`, `sleep` or `error`.
        amount: The seconds of `sleep`, the errno of `error`.
        step: The only step whose save it strikes; None: every save.
        first: The first step whose save it strikes.
    """

    point: str
    action: str
    amount: float = 0
    step: int | None = None
    first: int = 0


def parse(text: str) -> Fault | None:
    """The fault that `text` describes; None for an empty one.

    Raises:
        RefusedError: If it describes none.
    """
    if not text:
        return None
    match = _EXPECTED.fullmatch(text)
    try:
        if match is None or match["point"] not in _ALL:
            raise ValueError
        amount = float(match["seconds"] or match["number"] or 0)
    except ValueError:  # Also of a number such as 1.2.3.
        raise RefusedError(
            f"{VARIABLE}: expected POINT:ACTION, POINT:ACTION:step=N or "
            f"POINT:ACTION:from=N with POINT one of {', '.join(_ALL)} and ACTION "
            "one of kill, term, sleep=SECONDS, "
            f"error=ERRNO. Received: {text!r:.200}. It is a testing aid; unset it."
        ) from None
    step = None if match["step"] is None else int(match["step"])
    action = match["action"].partition("=")[0]
    return Fault(match["point"], action, amount, step, int(match["first"] or 0))


_fault = parse(os.environ.get(VARIABLE, ""))


def reach(point: str, step: int) -> None:
    """Strikes if a fault was asked for at this point of the save of `step`."""
    if _fault is None or _fault.point != point or _fault.step not in (None, step):
        return
    if step < _fault.first:
        return
    if _fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif _fault.action == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    elif _fault.action == "sleep":
        time.sleep(_fault.amount)
    else:
        number = int(_fault.amount)
        raise OSError(number, os.strerror(number))
