"""One module runs the contenders of one framework: `python -m ... CONTENDER LETTER`.

They need no kerascale, but for the contender of that name.
"""

import sys

from ..workload import Workload, load_all


def asked() -> tuple[str, Workload]:
    """The contender and the workload that the command line names."""
    contender, letter = sys.argv[1:]
    return contender, load_all()[letter]


# Of an epoch where several workers train: enough where a step takes long.
_MOST_STEPS = 40
# A step of less takes no time, but for what it costs beside its arithmetic.
_LITTLE_FLOPS = 1e6


def steps_of(workload: Workload) -> int:
    """Steps of an epoch of workers, however many they are."""
    if workload.flops_per_step < _LITTLE_FLOPS:
        return workload.steps_per_epoch
    return min(workload.steps_per_epoch, _MOST_STEPS)
