"""The start of two workers of one host beside one process: whole commands, in turns.

    python -m tests.benchmarks.pair_starts --rounds 5

One process trains `cnn` for 108 steps, then two workers do; all share a cache folder of
their own, so that the first of each finds nothing that XLA has compiled. Where the time
goes is told by the run of the chief.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from .statistics import Spread

_KERASCALE = (sys.executable, "-m", "kerascale")
_TRAIN = ("train", "cnn", "--epochs", "3")
COMMANDS = {
    "one process": (*_KERASCALE, *_TRAIN),
    "two workers": (*_KERASCALE, "launch", "--workers", "2", "--", *_TRAIN),
}


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(command: tuple[str, ...], cache: pathlib.Path) -> dict[str, float]:
    """Seconds of a command, its processor's, and the parts of its time."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        used, began = _children_seconds(), time.monotonic()
        subprocess.run(
            [*command, "--run-dir", str(run)],
            check=True,
            env={**os.environ, "KERASCALE_CACHE_DIR": str(cache)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        found = {
            "command": time.monotonic() - began,
            "processor": _children_seconds() - used,
        }
        goodput = json.loads((run / "goodput.json").read_text(encoding="utf-8"))
    return found | goodput["starts"][-1]["seconds"]


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: medians of all but the first command of each, and its seconds."""
    every = [run for runs in found.values() for run in runs]
    names = list(dict.fromkeys(key for run in every for key in run))
    lines = [f"| seconds | {' | '.join(found)} |", f"| :-- |{' --: |' * len(found)}"]
    for name in names:
        cells = []
        for first, *rest in found.values():
            values = [run.get(name, 0.0) for run in rest or [first]]
            cell = f"{statistics.median(values):.2f}"
            if name == "command":
                spread = Spread.of(values)
                cell += f" ({spread.lower:.2f} to {spread.upper:.2f})"
            cells.append(cell)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    first = " | ".join(f"{runs[0]['command']:.2f}" for runs in found.values())
    return "\n".join([*lines, f"| the first command | {first} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    found: dict[str, list[dict[str, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(rounds + 1):
            for name, command in COMMANDS.items():
                found[name].append(_run(command, pathlib.Path(cache)))
    print(table(found))


if __name__ == "__main__":
    main()
