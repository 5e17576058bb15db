"""Peak memory of whole commands, by `VmHWM`."""

import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..checkpointing import VARIABLES
from ..contenders import FailedError
from ..rounds import Bench
from . import made, sets
from .commands import last_lines

MOST_BYTES = 400 * 10**6
DATA_BYTES, WIDTH = 30 * 10**9, 784
# Of a training: memory is what it will be, long before.
_STEPS = 500
_SHARE = 10
# Of a tenth, for more to be told from less.
LEAST_BYTES = 500 * 10**6
_LOOK_SECONDS = 0.01


def measure(
    bench: Bench, folder: pathlib.Path, num_bytes: int, count: int
) -> dict[str, Any]:
    """Bytes of each command.

    Args:
        bench: Says what it does.
        folder: Where data is made.
        num_bytes: Of the packed data that is trained on.
        count: Of the pictures, which are packed: all, and a tenth.
    """
    rows = num_bytes // (4 * WIDTH)
    bench.say(f"memory: {num_bytes / 1e9:.0f} GB of rows")
    large = sets.vectors(folder / f"bytes-{num_bytes}", rows, WIDTH)
    made.pictures(folder / "pictures", count, bench.say)
    part = folder / "tenth"
    shutil.rmtree(part, ignore_errors=True)
    sizes = {"all": 0, "tenth": 0}
    for number, (path, _) in enumerate(made.shuffled(folder / "pictures", count)):
        sizes["all"] += path.stat().st_size
        if number < count // _SHARE:
            sizes["tenth"] += path.stat().st_size
            (part / path.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(path, part / path.parent.name / path.name)
    found: dict[str, Any] = {"bytes": num_bytes, "packed_bytes": sizes}
    dest = folder / "packed-for-memory"
    sources = {"all": folder / "pictures" / "files", "tenth": part}
    try:
        found["train_digits"] = _train(bench, folder, "digits")
        found["train_large"] = _train(bench, folder, f"packed:{large}")
        for name, source in sources.items():
            shutil.rmtree(dest, ignore_errors=True)
            bench.say(f"memory: packing {sizes[name] / 1e9:.2f} GB")
            command = ["pack", f"images:{source}", str(dest)]
            found[f"pack_{name}"] = peak_bytes(command, folder)
    finally:
        for path in (dest, part):
            shutil.rmtree(path, ignore_errors=True)
    return found


def above_digits(found: Mapping[str, Any]) -> dict[str, float]:
    """Bytes beyond those of training on digits: of training, and of packing.

    Packing so much was not tried: what a byte of the source took is carried on.
    """
    sizes = found["packed_bytes"]
    grown = max(0, found["pack_all"] - found["pack_tenth"])
    slope = grown / max(1, sizes["all"] - sizes["tenth"])
    there = found["pack_all"] + slope * max(0, found["bytes"] - sizes["all"])
    return {
        "train": found["train_large"] - found["train_digits"],
        "pack": there - found["train_digits"],
        "pack_growth_per_gb": slope * 1e9,
    }


def peak_bytes(command: Sequence[str], folder: pathlib.Path) -> int:
    """Runs a command of kerascale, and sees how much memory it takes.

    Raises:
        FailedError: It fails.
    """
    log = folder / "memory.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "kerascale", *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **VARIABLES, "KERAS_MAX_STEPS_PER_EPOCH": str(_STEPS)},
        )
        peak = 0
        # Not by `wait4`, which counts what this process had when it was forked.
        while process.poll() is None:
            peak = max(peak, _peak_of(process.pid))
            time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise FailedError(last_lines(log.read_text(errors="replace")))
    return peak


def _train(bench: Bench, folder: pathlib.Path, dataset: str) -> int:
    bench.say(f"memory: training on {dataset}")
    run = folder / "run-for-memory"
    shutil.rmtree(run, ignore_errors=True)
    try:
        command = ["train", "mlp", "--dataset", dataset, "--epochs", "1"]
        return peak_bytes([*command, "--run-dir", str(run)], folder)
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _peak_of(pid: int) -> int:
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
