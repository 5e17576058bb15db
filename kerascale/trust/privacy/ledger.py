"""`privacy.json` of a run: how many private steps were run, written before they are.

A run that was killed goes on from a checkpoint, and steps behind that one are run again
with other noise: they have cost twice. So steps are noted before they are run, and what
is noted is never taken back.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files
from kerascale.trust.privacy.accountant import Mechanism


@dataclasses.dataclass(frozen=True)
class Session:
    """Steps that one process has run, without going back.

    Args:
        mechanism: What each step did.
        steps: How many were run, or were about to be when the process ended.
    """

    mechanism: Mechanism
    steps: int = 0


class Ledger:
    """The sessions of a run.

    Args:
        path: The file; None: nothing is written, as on a worker that is not the chief.
        sessions: Those of before.
        delta: What the run was begun with.
    """

    def __init__(
        self,
        path: pathlib.Path | None,
        sessions: Sequence[Session] = (),
        delta: float | None = None,
    ) -> None:
        self.path = path
        self.sessions = list(sessions)
        self.delta = delta

    @property
    def spent(self) -> list[tuple[Mechanism, int]]:
        """Steps of each mechanism."""
        return [(s.mechanism, s.steps) for s in self.sessions]

    @property
    def steps(self) -> int:
        """All that were run."""
        return sum(session.steps for session in self.sessions)

    def begin(self, mechanism: Mechanism) -> None:
        """A new session."""
        self.sessions.append(Session(mechanism))

    def note(self, steps: int, *, is_durable: bool = True) -> None:
        """The present session has run so many steps, or is about to."""
        self.sessions[-1] = dataclasses.replace(self.sessions[-1], steps=steps)
        if self.path is not None:
            with atomic_files.replacing(self.path, durable=is_durable) as file:
                file.write_text(self.to_text(), encoding="utf-8")

    def to_text(self) -> str:
        """As JSON."""
        sessions = [
            {**dataclasses.asdict(s.mechanism), "steps": s.steps} for s in self.sessions
        ]
        return json.dumps({"delta": self.delta, "sessions": sessions}, indent=2)


def read(path: pathlib.Path) -> Ledger:
    """The ledger of a run that was begun; an empty one where there is no file.

    Raises:
        RefusedError: If it cannot be read: what was spent would be forgotten.
    """
    if not path.is_file():
        return Ledger(path)
    try:
        return from_text(path.read_text(encoding="utf-8"), path)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise RefusedError(
            f"{path}: expected how many private steps the run has had. Received: "
            f"{error}. Without it what they cost is not known: train anew with --fresh."
        ) from error


def from_text(text: str, path: pathlib.Path | None) -> Ledger:
    """The other side of `Ledger.to_text`."""
    content: dict[str, Any] = json.loads(text)
    sessions = []
    for entry in content["sessions"]:
        steps = int(entry.pop("steps"))
        sessions.append(Session(Mechanism(**entry), steps))
    return Ledger(path, sessions, content["delta"])
