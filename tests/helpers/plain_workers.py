"""Workers of one host that nobody launches, and what came of each."""

import json
import os
import subprocess
import sys

from kerascale.launch.environment import free_ports


def run(script, *arguments, ways, **more):
    """(exit code, standard output, standard error) of each worker.

    Args:
        script: What each of them runs.
        arguments: Of the script.
        ways: KERASCALE_ALL_REDUCE of each.
        more: Further environment variables.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(ways))]
    started = []
    for index, way in enumerate(ways):
        task = {"type": "worker", "index": index}
        environ = {
            **os.environ,
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
            "TF_NUM_INTRAOP_THREADS": "1",
            "KERASCALE_ALL_REDUCE": way,
            **more,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, str(script), *map(str, arguments)],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
    return [(p.returncode, *o) for p, o in zip(started, outputs, strict=True)]
