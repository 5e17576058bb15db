"""A fixed split of a data set that has none: stratified, the same for every run."""

from collections.abc import Collection

import numpy as np

from kerascale.datasets import regions
from kerascale.datasets.raw import RawData, Split
from kerascale.errors import RefusedError
from kerascale.runtime import free_memory
from kerascale.runtime.console import counted

# Not the run's seed: runs that differ in their seed are compared on the same
# validation and test examples.
_SPLIT_SEED = 20_240_601
# In `parts_of`.
NUMBERS = {"train": 0, "validation": 1, "test": 2}
# Of a regression, each has the same share in all splits.
_BINS = 10
# Examples that are looked at together.
_PART = 2**16


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
    taken = is_taken(strata(split.labels), fraction, salt=salt)
    return split.take(np.flatnonzero(~taken)), split.take(np.flatnonzero(taken))


def three(
    raw: RawData, fraction: float, *, is_last_use: bool = False
) -> dict[str, Split]:
    """The splits of a data set; those that it lacks are taken out of its training's.

    Args:
        raw: The data.
        fraction: The share that is taken for each.
        is_last_use: Nobody needs `raw` any more: large arrays are taken apart where
            they are, so that they are never there twice.

    Raises:
        RefusedError: If a split would be empty.
    """
    named = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    labels = strata(raw.train.labels)
    labels = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
    lacking = [split for split, examples in named.items() if examples is None]
    part_of = parts_of(labels, lacking, fraction)
    if is_last_use:
        free_memory.give_back()
    if lacking:
        parts = _apart(raw.train, part_of, is_last_use=is_last_use)
        for split in ("train", *lacking):
            named[split] = parts[NUMBERS[split]]
    if is_last_use:
        for split in named.values():
            regions.give_up(split.features)
            regions.give_up(split.labels)
    return named


def parts_of(
    labels: np.ndarray, lacking: Collection[str], fraction: float
) -> np.ndarray:
    """Where each training example goes if a data set lacks other splits.

    Args:
        labels: Of the training examples; see `is_taken`.
        lacking: The splits that it lacks: "validation", "test".
        fraction: The share that is taken for each.

    Returns:
        uint8 of shape (examples,): the number of its split in `NUMBERS`.

    Raises:
        RefusedError: If a split would be empty.
    """
    part_of = np.zeros(len(labels), np.uint8)
    # The test examples are taken out first, so that they stay the same if the data set
    # is given a validation split later.
    for split, salt in (("test", 1), ("validation", 2)):
        if split in lacking:
            left = labels[part_of == 0] if part_of.any() else labels
            taken = is_taken(left, fraction, salt=salt)
            del left
            part_of[part_of == 0] = taken.view(np.uint8) * np.uint8(NUMBERS[split])
            del taken
    return part_of


def _apart(split: Split, part_of: np.ndarray, *, is_last_use: bool) -> list[Split]:
    """Examples in three splits, by the number of each one's."""
    if not (is_last_use and regions.is_ours(split.features)):
        return [split.take(np.flatnonzero(part_of == number)) for number in range(3)]
    features = regions.taken_apart(split.features, part_of, 3)
    labels = regions.taken_apart(split.labels, part_of, 3)
    files = [None] * 3
    if split.files is not None:
        files = [split.files[part_of == number] for number in range(3)]
    return [Split(*arrays) for arrays in zip(features, labels, files, strict=True)]


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


def strata(labels: np.ndarray) -> np.ndarray:
    """What a split takes the same share of: the class, a tenth, the set of labels.

    Args:
        labels: Class indices of shape (examples,); or targets or labels of shape
            (examples, targets).

    Returns:
        Integers of shape (examples,).
    """
    if labels.ndim == 1:
        return labels
    if np.isin(labels, (0, 1)).all():
        return np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    # Tenths of the examples by the first target; ties by their place.
    ranks = np.argsort(np.argsort(labels[:, 0], kind="stable"), kind="stable")
    return ranks * _BINS // max(1, len(labels))
