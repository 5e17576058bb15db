"""A search whose command is killed, again and again: is a trial lost, or doubled?

`python -m tests.benchmarks.killed_searches --folder F [--kills 50] [--jobs 2]`: the
command and all that it started get SIGKILL at a random moment, each time with one more
trial to make; then it ends, and is compared with a search that nobody disturbed: the
same trials, values, scores and run folders. What was killed is noted in the folder: the
same command goes on, after `--seconds` too.
"""

import argparse
import json
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

SEARCH = (
    *("tune", "mlp", "--field", "learning_rate=log:1e-4..1e-1"),
    *("--field", "units=[8,16]", "--epochs", "6", "--pruner", "median", "--json"),
)
# Until something has been trained it is killed at any rate, while it starts.
_PATIENCE = 60.0


def _start(study: pathlib.Path, trials: int, jobs: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "kerascale", *SEARCH, "--study", str(study)]
    command += ["--trials", str(trials), "--jobs", str(jobs)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _trained(study: pathlib.Path) -> int:
    """How much has been trained, on a machine however busy."""
    return sum(p.stat().st_size for p in study.glob("trials/*/history.csv"))


def kill_once(study: pathlib.Path, number: int, jobs: int) -> str:
    """Starts the search and kills it; says in what it was."""
    generator = random.Random(number)
    before, began = _trained(study), time.monotonic()
    process = _start(study, number + 2, jobs)
    # Every fifth while it starts.
    limit = generator.uniform(0, 8) if number % 5 == 4 else _PATIENCE
    while process.poll() is None and time.monotonic() - began < limit:
        if _trained(study) > before:
            time.sleep(generator.uniform(0, 2))
            break
        time.sleep(0.02)
    had_ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if had_ended:
        return "after its end"
    return "while it trained" if _trained(study) > before else "while it started"


def finished(study: pathlib.Path, trials: int, jobs: int) -> dict[str, Any]:
    """The search, gone on with to its end: its trials, and the runs that are there."""
    out, _ = _start(study, trials, jobs).communicate()
    found = json.loads(out.splitlines()[-1])["trials"]
    runs = sorted(path.name for path in study.glob("trials/*") if path.is_dir())
    return {"trials": found, "runs": runs}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    log, began = options.folder / "kills.json", time.monotonic()
    kills = json.loads(log.read_text()) if log.is_file() else []
    while len(kills) < options.kills:
        if time.monotonic() - began > options.seconds:
            print(f"{len(kills)} of {options.kills} kills; the same command goes on")
            return 75
        study = options.folder / "killed"
        kills.append(kill_once(study, len(kills), options.jobs))
        log.write_text(json.dumps(kills))
        print(f"kill {len(kills)}: {kills[-1]}", file=sys.stderr, flush=True)
    trials = options.kills + 2
    found = finished(options.folder / "killed", trials, options.jobs)
    whole = finished(options.folder / "whole", trials, 1)
    numbers = [trial["number"] for trial in found["trials"]]
    same = [a == b for a, b in zip(found["trials"], whole["trials"], strict=False)]
    result = {
        "kills": {how: kills.count(how) for how in sorted(set(kills))},
        "trials": len(numbers),
        "lost_or_doubled": numbers != list(range(trials))
        or found["runs"] != whole["runs"],
        "same_as_undisturbed": sum(same),
    }
    print(json.dumps(result, indent=1))
    return int(result["lost_or_doubled"] or sum(same) < trials)


if __name__ == "__main__":
    sys.exit(main())
