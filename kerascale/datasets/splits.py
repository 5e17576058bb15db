"""A fixed split of a data set that has none: stratified, the same for every run."""

import numpy as np

from kerascale.datasets.raw import Split
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted

# Not the run's seed: runs that differ in their seed are compared on the same
# validation and test examples.
_SPLIT_SEED = 20_240_601


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
    generator = np.random.Generator(np.random.PCG64([_SPLIT_SEED, salt]))
    shuffled = generator.permutation(len(split))
    by_class = shuffled[np.argsort(split.labels[shuffled], kind="stable")]
    # Every 1/fraction-th example of the list sorted by class: each class gives its
    # share, and small classes are not rounded away together.
    quotas = np.floor(np.arange(1, len(split) + 1) * fraction + 0.5)
    taken = np.diff(quotas, prepend=0) > 0
    if not taken.any() or taken.all():
        raise RefusedError(
            f"Expected enough examples to hold back {fraction:g} of them. Received: "
            f"{counted(len(split), 'example')}. Add data, or change "
            "validation_fraction."
        )
    return split.take(np.sort(by_class[~taken])), split.take(np.sort(by_class[taken]))
