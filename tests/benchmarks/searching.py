"""How many trials an hour, beside KerasTuner; and what `--folds 5` costs.

`python -m tests.benchmarks.searching trials [--rounds 3] [--trials 30] [--epochs 10]`:
the same random search over the same model, `mlp` on the digits, as whole commands in
turns: kerascale with two jobs, and with one, and KerasTuner, which trains one trial
after the other. `folds`: `kerascale train mlp --folds 5` in one process, by the seconds
of all of it and of the five trainings in it.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kerascale as ks
from kerascale.tuning import cross_validation

from . import environments

# It imports keras_tuner, which its own environment has.
_PEER = pathlib.Path(__file__).parent / "runners" / "keras_tuner_search.py"


def trials(rounds: int, count: int, epochs: int, python: str) -> dict[str, Any]:
    """Trials an hour of each, and the ratio in each round."""
    with tempfile.TemporaryDirectory(prefix="kerascale-searching-") as folder:
        place = pathlib.Path(folder)
        arrays = _arrays(place / "digits.npz")
        ways: dict[str, Callable[[int], float]] = {
            "2 jobs": lambda n: _tune(place / f"two-{n}", count, epochs, 2),
            "1 job": lambda n: _tune(place / f"one-{n}", count, epochs, 1),
            "KerasTuner": lambda n: _keras_tuner(
                python, arrays, place / f"peer-{n}", count, epochs
            ),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds):
            names = list(ways)
            for name in names[number % 3 :] + names[: number % 3]:
                pace = 3600 * count / ways[name](number)
                found[name].append(pace)
                print(f"round {number}: {name}: {pace:,.0f} an hour", file=sys.stderr)
    peer = np.asarray(found["KerasTuner"])
    ratios = {name: (np.asarray(found[name]) / peer).tolist() for name in ways}
    return {
        "trials_an_hour": {n: statistics.median(v) for n, v in found.items()},
        "ratio": {n: statistics.median(v) for n, v in ratios.items()},
        "rounds": found,
    }


def _arrays(path: pathlib.Path) -> pathlib.Path:
    """The digits, divided as kerascale divides them."""
    recipe = ks.load_recipe("mlp")
    data = recipe.make_datasets(recipe.Config())
    found = {}
    for split in ("train", "validation"):
        source = getattr(data, split).for_evaluation()
        parts = [[np.asarray(t) for t in batch[:2]] for batch in source.dataset()]
        x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
        found |= {f"x_{split}": x, f"y_{split}": y}
    np.savez(path, **found)
    return path


def _tune(folder: pathlib.Path, count: int, epochs: int, jobs: int) -> float:
    command = [sys.executable, "-m", "kerascale", "tune", "mlp"]
    command += ["--field", "learning_rate=log:1e-3..1e-2", "--field", "dropout=0..0.5"]
    command += ["--sampler", "random", "--pruner", "none", "--trials", str(count)]
    command += ["--epochs", str(epochs), "--jobs", str(jobs), "--study", str(folder)]
    return _seconds(command)


def _keras_tuner(
    python: str, arrays: pathlib.Path, folder: pathlib.Path, count: int, epochs: int
) -> float:
    return _seconds([python, _PEER, arrays, str(count), str(epochs), folder])


def _seconds(command: Sequence[Any]) -> float:
    began = time.monotonic()
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(
        list(map(str, command)), check=True, env=environ, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - began


def folds(epochs: int) -> dict[str, Any]:
    """Seconds of a cross-validation over those of the trainings that are in it."""
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(folds=5, epochs=epochs, execution="fixed")
    seconds: list[float] = []

    def train(own: Any, run_dir: pathlib.Path) -> Any:
        began = time.monotonic()
        run = ks.train(recipe, own, run_dir=run_dir)
        seconds.append(time.monotonic() - began)
        return run

    with tempfile.TemporaryDirectory(prefix="kerascale-folds-") as folder:
        place = pathlib.Path(folder)
        # One before, which imports and compiles what all of them need.
        ks.train(recipe, recipe.Config(folds=5, fold=0, epochs=1), run_dir=place / "0")
        began = time.monotonic()
        cross_validation.run(recipe, config, place, train)
        whole = time.monotonic() - began
    return {
        "seconds": whole,
        "of_trainings": sum(seconds),
        "overhead": whole / sum(seconds) - 1,
        "each": seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("trials", "folds"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args(arguments)
    if options.what == "folds":
        found = folds(options.epochs)
    else:
        python = environments.get("kerastuner").python
        found = trials(options.rounds, options.trials, options.epochs, python)
    print(json.dumps({"load_average": os.getloadavg(), **found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
