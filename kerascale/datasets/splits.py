"""A fixed split of a data set that has none: stratified, the same for every run."""

import numpy as np

from kerascale.datasets.raw import Split
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted

# Not the run's seed: runs that differ in their seed are compared on the same
# validation and test examples.
_SPLIT_SEED = 20_240_601
# Examples that are looked at together.
_PART = 2**20


def split_off(split: Split, fraction: float, *, salt: int) -> tuple[Split, Split]:
    """Takes a share of the examples away, the same share of every class.

    Args:
        split: What to divide.
        fraction: The share to take, between 0 and 1.
        salt: Distinguishes the splits that are made of one data set.

    Returns:
        What stays, and what was taken; each in the original order.

    Raises:
        RefusedError: If either part would be empty.
    """
    taken = is_taken(split.labels, fraction, salt=salt)
    return split.take(np.flatnonzero(~taken)), split.take(np.flatnonzero(taken))


def is_taken(labels: np.ndarray, fraction: float, *, salt: int) -> np.ndarray:
    """Which examples `split_off` takes away.

    It needs a few bytes for each example, whatever an example holds.

    Args:
        labels: Class indices of shape (examples,), or such labels in another dtype.
        fraction: The share to take, between 0 and 1.
        salt: Distinguishes the splits that are made of one data set.

    Returns:
        bool of shape (examples,).

    Raises:
        RefusedError: If either part would be empty.
    """
    count = len(labels)
    generator = np.random.Generator(np.random.PCG64([_SPLIT_SEED, salt]))
    # What `permutation(count)` gives, in the fewest bytes: it shuffles the numbers.
    shuffled = np.arange(count, dtype=np.min_scalar_type(max(0, count - 1)))
    generator.shuffle(shuffled)
    # Every 1/fraction-th example of the list sorted by class: each class gives its
    # share, and small classes are not rounded away together.
    classes, sizes = _classes(labels)
    place = dict(zip(classes, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    taken = np.zeros(count, bool)
    for start in range(0, count, _PART):
        part = shuffled[start : start + _PART]
        order = np.argsort(labels[part], kind="stable")
        part = part[order]
        found, firsts, counts = np.unique(
            labels[part], return_index=True, return_counts=True
        )
        for value, first, size in zip(found.tolist(), firsts, counts, strict=True):
            places = place[value] + np.arange(size + 1)
            quotas = np.floor(places * fraction + 0.5)
            taken[part[first : first + size]] = np.diff(quotas) > 0
            place[value] += int(size)
    if not taken.any() or taken.all():
        raise RefusedError(
            f"Expected enough examples to hold back {fraction:g} of them. Received: "
            f"{counted(count, 'example')}. Add data, or change validation_fraction."
        )
    return taken


def _classes(labels: np.ndarray) -> tuple[list[int], list[int]]:
    """The classes, in order, and how many examples each has."""
    sizes: dict[int, int] = {}
    for start in range(0, len(labels), _PART):
        found, counts = np.unique(labels[start : start + _PART], return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            sizes[value] = sizes.get(value, 0) + count
    classes = sorted(sizes)
    return classes, [sizes[value] for value in classes]
