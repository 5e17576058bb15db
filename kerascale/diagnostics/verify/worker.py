"""What runs in each process that trains, by its path: `worker.py JOB FOLDER STRATEGY`.

It gives the process the module paths of the one that verifies before anything of
kerascale is imported.
"""

import faulthandler
import json
import os
import pathlib
import signal
import sys


def main(job: str, folder: str, strategy: str) -> int:
    # What a model prints must not wait for a reader of standard output.
    os.dup2(2, 1)
    # What the process that verifies sends when nothing happens any more.
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    content = json.loads(pathlib.Path(job).read_text(encoding="utf-8"))
    sys.path[:] = content["sys_path"]
    from kerascale.diagnostics.verify import trial

    return trial.run(job, folder, strategy)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
