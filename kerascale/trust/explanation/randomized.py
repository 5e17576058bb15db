"""A check on explanations themselves: do they change if the model forgets all that it
has learned (Adebayo et al., "Sanity Checks for Saliency Maps", 2018)?"""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from kerascale.trust.explanation.subject import Subject


@contextlib.contextmanager
def forgotten(model: keras.Model, *, seed: int) -> Iterator[None]:
    """Within it, the numbers of each trainable variable stand in a random order.

    Each variable keeps its distribution, and nothing of what was learned. Afterwards
    all are as they were, whatever happens.
    """
    kept = [variable.numpy() for variable in model.trainable_variables]
    generator = np.random.default_rng([seed, 3])
    try:
        for variable, values in zip(model.trainable_variables, kept, strict=True):
            flat = values.reshape(-1).copy()
            generator.shuffle(flat)
            variable.assign(flat.reshape(values.shape))
        yield
    finally:
        for variable, values in zip(model.trainable_variables, kept, strict=True):
            variable.assign(values)


def likeness(subject: Subject, one: np.ndarray, other: np.ndarray) -> float:
    """How alike two explanations rank the parts, by size.

    Args:
        subject: The examples.
        one: Of shape (examples, parts).
        other: Of that shape.

    Returns:
        Spearman's rank correlation, averaged over examples: 1 the same order, 0
        unrelated.
    """
    found = []
    for place in range(len(subject)):
        there = subject.valid[place]
        ranks = [_ranks(np.abs(each[place, there])) for each in (one, other)]
        if all(np.ptp(each) > 0 for each in ranks):
            found.append(float(np.corrcoef(*ranks)[0, 1]))
    return float(np.mean(found)) if found else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """From 0, equal values with their mean rank."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    firsts = np.cumsum(counts) - counts
    return (firsts + (counts - 1) / 2)[which]
