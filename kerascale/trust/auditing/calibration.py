"""Does a probability mean what it says (Guo et al., "On Calibration of Modern Neural
Networks", 2017)?"""

from typing import Any

import numpy as np

_BINS = 15
_SIMULATED = 500


def measure(sure: np.ndarray, hits: np.ndarray, seed: int) -> dict[str, Any]:
    """The expected calibration error, and the reliability curve.

    A calibrated model has an error above 0 too, by chance: labels are drawn by the
    model's own probabilities to see how much ("consistency resampling", Bröcker and
    Smith, 2007).

    Args:
        sure: The probability of what was answered, of shape (examples,).
        hits: Whether it was so.
        seed: Of the draws.

    Returns:
        `ece`; `ece_by_chance`, which a calibrated model exceeds once in twenty; `bins`:
        of each that is not empty `sure`, `right`, `examples`.
    """
    hits = hits.astype(np.float64)
    place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    generator = np.random.default_rng(seed)
    drawn = generator.random((_SIMULATED, len(sure))) < sure
    simulated = [_error(sure, each, place) for each in drawn.astype(np.float64)]
    sizes = np.bincount(place, minlength=_BINS)
    bins = [
        {
            "sure": float(sure[place == i].mean()),
            "right": float(hits[place == i].mean()),
            "examples": int(sizes[i]),
        }
        for i in np.flatnonzero(sizes)
    ]
    return {
        "ece": _error(sure, hits, place),
        "ece_by_chance": float(np.quantile(simulated, 0.95)),
        "bins": bins,
    }


def _error(sure: np.ndarray, hits: np.ndarray, place: np.ndarray) -> float:
    """Distances of the means in each bin, weighted by its examples."""
    gaps = np.bincount(place, weights=hits - sure, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(sure))
