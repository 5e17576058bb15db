"""In place of a file that kerascale starts as a process: a fork runs it. For tests.

It ends as that process does, and that process ends with it.
"""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from helpers.forks import Forked

# The socket of the process that is forked, and the file.
FORKS, WORKER = "KERASCALE_TEST_FORKS", "KERASCALE_TEST_WORKER_FILE"


def stand_in(patch, forks, module, name, worker=WORKER, file=__file__):
    """Has a fork run the file that a module starts as a process.

    Args:
        patch: A `pytest.MonkeyPatch`.
        forks: The `Forks`.
        module: Has the file's path.
        name: Of that attribute.
        worker: The variable that names the file; two files have two.
        file: What runs `main` with it.
    """
    # Of the file that stands in already it would be an endless row of forks.
    assert str(getattr(module, name)) != file, "stand_in: expected to be called once"
    patch.setenv(FORKS, str(forks.path))
    patch.setenv(worker, str(getattr(module, name)))
    patch.setattr(module, name, pathlib.Path(file))


def main(worker):
    """Ends as the fork that runs the file does.

    Args:
        worker: The variable that names the file.
    """
    process = Forked(
        os.environ[FORKS],
        [os.environ[worker], *sys.argv[1:]],
        os.getcwd(),
        dict(os.environ),
        1,
        2,
        0,
    )
    code = process.wait()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(WORKER)
