"""What attacks on a run have found."""

import dataclasses
from typing import Any

import numpy as np

from kerascale.trust.attacks.masking import Evidence, Judgement


@dataclasses.dataclass(frozen=True)
class Point:
    """A place on the curve.

    Args:
        epsilon: How far an example may move.
        fgsm: Accuracy under one step.
        pgd: Accuracy under PGD with restarts.
    """

    epsilon: float
    fgsm: float
    pgd: float


@dataclasses.dataclass(frozen=True)
class Example:
    """A picture that was changed until it was answered wrongly.

    Args:
        epsilon: Within which.
        original: As it is, pixels from 0 to 1, of shape (height, width, channels).
        changed: As it was changed.
        label: Its class.
        answer: What the model answers then.
        confidence: With which probability.
    """

    epsilon: float
    original: np.ndarray
    changed: np.ndarray
    label: str
    answer: str
    confidence: float


@dataclasses.dataclass(frozen=True)
class AttackResult:
    """The accuracy of a run under attack.

    Args:
        run: Its folder.
        split: Whose examples.
        examples: How many.
        norm: What is at most epsilon.
        units: Of epsilon.
        steps: Of PGD.
        restarts: Of PGD.
        queries: Of random search.
        surrogate: What the transfer attack's examples are of.
        clean: Accuracy without an attack.
        curve: For each epsilon.
        evidence: At one of them; see `Evidence`.
        judgement: Whether the gradient is masked.
        robust: Accuracy under all attacks together, at the evidence's epsilon.
        pictures: Some, if examples are pictures.
        seconds: That it took.
    """

    run: str
    split: str
    examples: int
    norm: str
    units: str
    steps: int
    restarts: int
    queries: int
    surrogate: str
    clean: float
    curve: tuple[Point, ...]
    evidence: Evidence
    judgement: Judgement
    robust: float
    pictures: tuple[Example, ...] = ()
    seconds: float = 0.0

    @property
    def masked(self) -> bool:
        return self.judgement.masked

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it, without pictures."""
        found = dataclasses.asdict(dataclasses.replace(self, pictures=()))
        found.pop("pictures")
        return found

    def text(self) -> str:
        """For a person."""
        found = self.evidence
        lines = [
            f"{self.run}: {self.examples:,} {self.split} examples, {self.norm} norm, "
            f"epsilon in {self.units}",
            f"  {'epsilon':>9} {'FGSM':>8} {f'PGD-{self.steps}x{self.restarts}':>10}",
            f"  {0:>9} {self.clean:>8.4f} {self.clean:>10.4f}",
        ]
        lines += [
            f"  {p.epsilon:>9g} {p.fgsm:>8.4f} {p.pgd:>10.4f}" for p in self.curve
        ]
        lines += [
            f"at epsilon {found.epsilon:g}, accuracy under",
            f"  PGD on the margin of logits   {found.margin:.4f}",
            f"  examples of {self.surrogate:<17} {found.transfer:.4f}",
            f"  random search, {self.queries:,} queries    {found.black_box:.4f}",
            f"  all of them together          {self.robust:.4f}",
            f"with everything free to change  {found.unbounded:.4f}",
            self.judgement.text(),
        ]
        return "\n".join(lines)
