"""One module runs the contenders of one framework: `python -m ... CONTENDER LETTER`.

They need no kerascale, but for the contender of that name.
"""

import sys

from ..workload import Workload, load_all


def asked() -> tuple[str, Workload]:
    """The contender and the workload that the command line names."""
    contender, letter = sys.argv[1:]
    return contender, load_all()[letter]
