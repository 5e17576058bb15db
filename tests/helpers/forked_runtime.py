"""In place of the process that measures a compressed model: a fork. For tests."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from helpers import forked_worker

VARIABLE = "KERASCALE_TEST_RUNTIME_FILE"


def stand_in(patch, forks, module):
    """Has a fork run `runtime_process.py` from now on."""
    forked_worker.stand_in(patch, forks, module, "_SCRIPT", VARIABLE, __file__)


if __name__ == "__main__":
    forked_worker.main(VARIABLE)
