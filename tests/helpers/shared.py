"""What is made once for a session of tests, also if several processes run them."""

import os
import shutil

import filelock


def once(tmp_path_factory, name, make):
    """A folder of all processes of the session, which the first of them has filled.

    Args:
        tmp_path_factory: The fixture.
        name: The folder's.
        make: Fills the folder; called in one process, while the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / f"shared-{name}"
    done = base / f"shared-{name}-done"
    with filelock.FileLock(base / f"shared-{name}-lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
