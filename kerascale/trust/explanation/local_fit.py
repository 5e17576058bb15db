"""LIME (Ribeiro, Singh and Guestrin, "Why Should I Trust You?", 2016): a linear model
of what the answer does around an example.

Fitted by the library `lime`. Variants are drawn here: of a column that is constant, or
whose smallest value fills a quartile, the library would feed zeros.
"""

from collections.abc import Callable

import numpy as np

from kerascale.trust.explanation.subject import Subject

_SAMPLES = 500
# Of the distance in parts, as the library has it for texts and for tables.
_TEXT_WIDTH = 25.0
_TABLE_WIDTH = 0.75


def fit(
    subject: Subject,
    *,
    seed: int,
    training: np.ndarray | None,
    samples: int = _SAMPLES,
) -> np.ndarray:
    """The weight of each part's presence in a linear model around each example.

    Args:
        subject: Texts or rows.
        seed: Of the variants.
        training: Of a table, embedded training examples: a column that is taken away
            gets its value in one of them. None: parts that are taken away are the
            baseline's.
        samples: Variants of an example.

    Returns:
        Of shape (examples, parts).
    """
    from lime.lime_base import LimeBase

    found = np.zeros((len(subject), subject.parts.count))
    for place in range(len(subject)):
        generator = np.random.default_rng([seed, place])
        there = np.flatnonzero(subject.valid[place])
        keep = np.ones((samples, subject.parts.count), bool)
        keep[1:, there] = _draw(generator, samples - 1, len(there), training is None)
        if training is None:
            variants = subject.with_some(keep, subject.parts, place)
        else:
            variants = _redrawn(subject, keep, training, place, generator)
        scores = subject.scores(variants, np.full(samples, place))
        own = keep[:, there].astype(np.float64)
        base = LimeBase(_kernel(training is None, len(there)), random_state=seed)
        _, weights, *_ = base.explain_instance_with_data(
            own,
            scores[:, None],
            _distances(own, training is None),
            0,
            len(there),
            feature_selection="none",
        )
        for part, weight in weights:
            found[place, there[part]] = weight
    return found


def _draw(
    generator: np.random.Generator, samples: int, count: int, is_text: bool
) -> np.ndarray:
    """Which parts stay. Of a text, any number of words goes equally often."""
    if not is_text:
        return generator.random((samples, count)) < 0.5
    left = generator.integers(0, count, samples)
    ranks = generator.random((samples, count)).argsort(axis=1).argsort(axis=1)
    return ranks < left[:, None]


def _redrawn(
    subject: Subject,
    keep: np.ndarray,
    training: np.ndarray,
    place: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Variants with each column that goes as in a training example of its own."""
    ndim = subject.embedded.ndim - 1
    rows = generator.integers(0, len(training), keep.shape)
    stays = subject.parts.spread(keep, ndim)
    which = np.broadcast_to(
        subject.parts.spread(rows, ndim), (len(keep), *subject.embedded.shape[1:])
    )
    others = np.take_along_axis(training, which, axis=0)
    return np.where(stays, subject.embedded[place], others).astype(np.float32)


def _distances(own: np.ndarray, is_text: bool) -> np.ndarray:
    """From the whole example: cosine, in hundreds, of a text; else Euclidean."""
    if is_text:
        return 100 * (1 - np.sqrt(own.mean(axis=1)))
    return np.sqrt((1 - own).sum(axis=1))


def _kernel(is_text: bool, count: int) -> Callable[[np.ndarray], np.ndarray]:
    width = _TEXT_WIDTH if is_text else _TABLE_WIDTH * np.sqrt(count)
    return lambda distances: np.sqrt(np.exp(-(distances**2) / width**2))
