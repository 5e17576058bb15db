"""Packed data against data in memory: `python -m tests.benchmarks.packed`.

A is a perceptron on 60,000 rows of 784 numbers, B a convolutional network on as many
images of 28 x 28, both with batches of 128. Trainings are processes of their own, in
turns. The files of 30 GB, and of 100 million rows, are sparse.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from . import machine

_ROOT = pathlib.Path(__file__).parent.parent.parent
_ROWS = 60_000
_A = "mlp --units 512 --execution one_program --steps-per-execution 64"
_B = "cnn --filters 32 64 --dense-units 128 --execution loop --steps-per-execution 16"
_GIB = 2**30
_LARGE_SECONDS = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.packed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--only", choices=("pace", "seek", "memory"))
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    found: dict[str, Any] = {"machine": machine.facts()}
    with tempfile.TemporaryDirectory(prefix="kerascale-packed-") as name:
        folder = pathlib.Path(name)
        if options.only in (None, "pace"):
            found |= _paces(folder, options.rounds, options.epochs)
        if options.only in (None, "seek"):
            found["seek"] = _seek(folder)
        if options.only in (None, "memory"):
            found["memory"] = _memory(folder)
    found["load_average_at_the_end"] = machine.facts()["load_average"]
    print(json.dumps({k: v for k, v in found.items() if k != "machine"}, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------- pace


def _paces(folder: pathlib.Path, rounds: int, epochs: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, _ROWS)
    vectors = generator.normal(size=(_ROWS, 784)).astype(np.float32)
    images = generator.integers(0, 256, (_ROWS, 28, 28, 1), dtype=np.uint8)
    found = {}
    for letter, recipe, x in (("A", _A, vectors), ("B", _B, images)):
        file = folder / f"{letter}.npz"
        np.savez(file, x=x, y=labels)
        _kerascale("pack", f"npz:{file}", str(folder / letter))
        sources = {"memory": f"npz:{file}", "packed": f"packed:{folder / letter}"}
        speeds: dict[str, list[float]] = {name: [] for name in sources}
        used = []
        for number in range(rounds):
            for name, source in sorted(sources.items(), reverse=number % 2 == 1):
                run = folder / f"{letter}-{name}-{number}"
                _kerascale(
                    "train", *recipe.split(), "--dataset", source, "--batch-size",
                    "128", "--epochs", str(epochs), "--run-dir", str(run),
                )  # fmt: skip
                reached = json.loads((run / "throughput.json").read_text())
                speeds[name].append(reached["examples_per_second"])
                if name == "packed":
                    used.append(reached["utilization"])
        pairs = zip(speeds["packed"], speeds["memory"], strict=True)
        found[letter] = {
            **speeds,
            "packed_over_memory": statistics.median(p / m for p, m in pairs),
            "utilization": statistics.median(used),
        }
    return found


# ---------------------------------------------------------------------- seek


def _seek(folder: pathlib.Path) -> dict[str, float]:
    """Seconds to the first batch of a step, of 100 million rows of eight numbers."""
    sys.path.insert(0, str(_ROOT))
    from kerascale.config import TrainingConfig
    from kerascale.datasets import from_packed

    _sparse(folder / "many", 100_000_000, 8)
    config = TrainingConfig(batch_size=64)
    batches = from_packed(folder / "many", config).train
    times: dict[int, list[float]] = {0: [], 1_000_000: []}
    for _ in range(9):
        for step, seconds in times.items():
            began = time.perf_counter()
            next(iter(batches.dataset(start_step=step)))
            seconds.append(time.perf_counter() - began)
    first, later = (statistics.median(seconds[1:]) for seconds in times.values())
    return {"step_0": first, "step_1000000": later, "ratio": later / first}


# -------------------------------------------------------------------- memory


def _memory(folder: pathlib.Path) -> dict[str, float]:
    """Peak memory in MiB: of 30 GB of vectors, and of the model on `digits`."""
    _sparse(folder / "large", 9_600_000, 784)
    command = ["mlp", "--units", "512", "--batch-size", "128", "--epochs", "3"]
    large = _peak([*command, "--dataset", f"packed:{folder / 'large'}"])
    small = _peak(command)
    return {"30_GB": large, "digits": small, "above": large - small}


def _peak(arguments: list[str]) -> float:
    """The highest resident memory of a training, ended after a minute."""
    with tempfile.TemporaryDirectory() as name:
        process = subprocess.Popen(
            [sys.executable, "-m", "kerascale", "train", *arguments, "--run-dir", name],
            cwd=_ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until, most = time.monotonic() + _LARGE_SECONDS, 0
        while process.poll() is None:
            for line in _status(process.pid):
                if line.startswith("VmHWM"):
                    most = max(most, int(line.split()[1]))
            if time.monotonic() > until:
                process.send_signal(signal.SIGTERM)
                until = float("inf")
            time.sleep(0.1)
    return most / 1024


def _status(pid: int) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []


def _sparse(folder: pathlib.Path, rows: int, width: int) -> None:
    """A packed data set of zeros that takes no room on the disk."""
    sys.path.insert(0, str(_ROOT))
    from kerascale.datasets.packed import layout
    from kerascale.datasets.packed.manifest import Manifest

    folder.mkdir()
    sizes = {layout.FEATURES: rows * width * 4, layout.LABELS: rows * 8}
    for name, size in sizes.items():
        with open(folder / name, "wb") as file:
            file.truncate(size)
    bounds = {
        "train": (0, rows - 2000),
        "validation": (rows - 2000, rows - 1000),
        "test": (rows - 1000, rows),
    }
    for split, (first, behind) in bounds.items():
        with open(folder / layout.INDEX.format(split=split), "wb") as file:
            for start in range(first, behind, 2**20):
                np.arange(start, min(behind, start + 2**20)).tofile(file)
    counts = {split: behind - first for split, (first, behind) in bounds.items()}
    manifest = Manifest(
        source="sparse", identity={}, options={}, kind="vector", encoding=None,
        dtype="float32", shape=(width,), num_rows=rows,
        class_names=tuple(map(str, range(10))), feature_names=(),
        given_splits=tuple(bounds), held_out_fraction=0.15, counts=counts,
        class_counts={split: [n] + [0] * 9 for split, n in counts.items()},
        mean=[0.0] * width, variance=[1.0] * width, fingerprint="0" * 64,
    )  # fmt: skip
    (folder / layout.MANIFEST).write_text(manifest.to_json())


def _kerascale(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "kerascale", *arguments],
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


if __name__ == "__main__":
    main()
