"""Updates of clients, put together.

Weights that train are moved by the mean change; moving statistics are averaged as they
are, whatever the server's optimizer (Adam on a variance makes it negative); counters
move by the mean of what they moved, rounded. States of random generators stay.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

Arrays = Mapping[str, np.ndarray]
Kind = Literal["trained", "statistic", "counter", "kept"]

# Reddi et al. 2021, section 5.
_BETAS = 0.9, 0.99
_TAU = 1e-3


@dataclasses.dataclass
class Server:
    """The weights of a federation, and the moments of its optimizer.

    Args:
        kinds: Name -> what it is.
        weights: Name -> value.
        rate: What the mean change is multiplied by.
        adaptive: Whether it is Adam's gradient.
        clip: The largest norm of a client's change; None: any.
        moments: First and second, by name; empty at the beginning.
    """

    kinds: Mapping[str, Kind]
    weights: dict[str, np.ndarray]
    rate: float = 1.0
    adaptive: bool = False
    clip: float | None = None
    moments: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def update(
        self,
        answers: Sequence[Arrays],
        shares: Sequence[float],
        noise: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Takes one round.

        Args:
            answers: What clients have made of the weights.
            shares: What each change is multiplied by; 1 in all, or nearly.
            noise: Name -> what is added to the sum of changes; None: nothing.
        """
        factors = [
            share * self._factor(a) for share, a in zip(shares, answers, strict=True)
        ]
        for name, kind in self.kinds.items():
            before = self.weights[name]
            if kind == "kept" or (not answers and noise is None):
                continue
            wide = before.astype(np.float64)
            weighing = factors if kind == "trained" else shares
            change = np.zeros_like(wide)
            for factor, answer in zip(weighing, answers, strict=True):
                change += factor * (answer[name].astype(np.float64) - wide)
            if kind == "trained":
                if noise is not None:
                    change += noise[name]
                change = self._adam(name, change) if self.adaptive else change
                change *= self.rate
            if kind == "counter":
                change = np.rint(change)
            self.weights[name] = np.asarray(wide + change).astype(before.dtype)

    def _factor(self, answer: Arrays) -> float:
        """By how much a client's change is scaled down."""
        if self.clip is None:
            return 1.0
        square = sum(
            float(np.sum(np.square(answer[n].astype(np.float64) - self.weights[n])))
            for n, kind in self.kinds.items()
            if kind == "trained"
        )
        # One that has changed nothing has no norm to divide by.
        return self.clip / max(self.clip, square**0.5)

    def _adam(self, name: str, change: np.ndarray) -> np.ndarray:
        """Algorithm 2 of the paper, which corrects no bias."""
        first, second = _BETAS
        m = self.moments.get(f"m/{name}", np.zeros_like(change))
        v = self.moments.get(f"v/{name}", np.full_like(change, _TAU**2))
        m = first * m + (1 - first) * change
        v = second * v + (1 - second) * np.square(change)
        self.moments[f"m/{name}"], self.moments[f"v/{name}"] = m, v
        return m / (np.sqrt(v) + _TAU)
