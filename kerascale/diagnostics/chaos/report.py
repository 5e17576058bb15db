"""What was done to a run, what it cost, and whether the result is the same."""

import dataclasses
import itertools
from typing import Any

from kerascale.diagnostics.chaos.attempts import Attempt


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of `chaos`; true if the disturbed run ended as the other.

    Args:
        steps: Batches of the whole run.
        save_every: Batches between two checkpoints.
        undisturbed_seconds: How long it takes if nothing happens.
        attempts: The starts of the disturbed run.
        compared: How many sums were compared.
        sha256: One sum of all of them, of the undisturbed run.
        different: What is not the same.
    """

    steps: int
    save_every: int
    undisturbed_seconds: float
    attempts: list[Attempt]
    compared: int
    sha256: str
    different: list[str]

    def __bool__(self) -> bool:
        return not self.different

    @property
    def lost(self) -> list[int]:
        """Batches that were trained again, after each attempt but the last."""
        return [max(0, one.ended_at - other.began_at) for one, other in self._pairs]

    @property
    def _pairs(self) -> list[tuple[Attempt, Attempt]]:
        """Each attempt that was struck, and the one that followed."""
        return list(itertools.pairwise(self.attempts))

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def goodput(self) -> float:
        """The time that an undisturbed run takes, over the time that this one took."""
        return self.undisturbed_seconds / self.seconds

    def to_dict(self) -> dict[str, Any]:
        return {
            "identical": bool(self),
            "steps": self.steps,
            "save_every_steps": self.save_every,
            "events": [
                {
                    "kind": attempt.event.kind,
                    "point": attempt.event.point,
                    "worker": attempt.event.worker,
                    "step": attempt.ended_at,
                    "resumed_at": following.began_at,
                    "seconds": round(attempt.seconds, 3),
                }
                for attempt, following in self._pairs
            ],
            "steps_lost": sum(self.lost),
            "undisturbed_seconds": round(self.undisturbed_seconds, 3),
            "seconds": round(self.seconds, 3),
            "goodput": round(self.goodput, 4),
            "sha256": self.sha256,
            "different": self.different,
        }

    def text(self) -> str:
        """For a person."""
        lines = ["", "| # | event | worker | at step | resumed at | steps lost |"]
        lines += ["| --: | :-- | --: | --: | --: | --: |"]
        restarts = zip(self._pairs, self.lost, strict=True)
        for number, ((attempt, following), lost) in enumerate(restarts, 1):
            event = attempt.event
            lines.append(
                f"| {number} | {event} | {event.worker} | {attempt.ended_at} "
                f"| {following.began_at} | {lost} |"
            )
        lines += [
            "",
            f"steps: {self.steps}, saved every {self.save_every}; lost and trained "
            f"again: {sum(self.lost)}",
            f"seconds: {self.undisturbed_seconds:.1f} undisturbed, {self.seconds:.1f} "
            f"with {len(self.attempts) - 1} disturbances; goodput {self.goodput:.2f}",
        ]
        if self:
            lines.append(
                f"IDENTICAL: {self.compared} sums of weights, optimizer, history and "
                f"metrics are the same (sha256 {self.sha256[:16]})"
            )
        else:
            lines.append(
                f"DIFFERENT: {len(self.different)} of {self.compared}: "
                f"{', '.join(self.different[:10])}"
            )
        return "\n".join(lines)
