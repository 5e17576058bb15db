"""Attacks against those of the Adversarial Robustness Toolbox, on one model and budget.

    python -m tests.benchmarks.attacking [--folder DIR] [--json FILE]

An `mlp` on `digits`. Theirs is in an environment without TensorFlow, where the model is
computed in NumPy, and so is its gradient. The exit code is 1 if accuracies differ by
more than a point.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

import kerascale as ks
from kerascale.trust.attacks import pgd, units

from . import environments

INF, TWO = (0.03, 0.06, 0.1), (0.25, 0.5, 0.75)
STEPS, RESTARTS = 40, 5
_WITHIN = 0.01
_RUNNER = pathlib.Path(__file__).parent / "runners" / "attacking_art.py"


def compare(folder: pathlib.Path, say: Any = print) -> dict[str, tuple[float, float]]:
    """`NORM EPSILON` -> accuracy under our PGD, and under theirs."""
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(epochs=10)
    path = folder / "run"
    if not (path / "evaluation.json").is_file():
        ks.train(recipe, config, run_dir=path)
    run = ks.load_run(path)
    datasets = recipe.make_datasets(config)
    x, y = units.examples(datasets.test.for_evaluation(), 10_000)
    found = units.of(datasets)
    ours = {"clean": float(pgd.is_right(run.model, x, y).mean())}
    for norm, epsilons in (("inf", INF), ("2", TWO)):
        for epsilon in epsilons:
            ball = found.ball(norm, epsilon)
            attacked = pgd.pgd(run.model, x, y, ball, steps=STEPS, restarts=RESTARTS)
            ours[f"{norm} {epsilon:g}"] = attacked.accuracy
    file = folder / "model.npz"
    np.savez(file, **_numbers(run.model, found.high), x=x / found.high, y=y)
    environment = environments.get("art", say)
    # Products are small, and threads wait for each other on a busy machine.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    finished = subprocess.run(
        [environment.python, _RUNNER, file],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr[-2000:])
    theirs = json.loads(finished.stdout.splitlines()[-1])
    return {name: (ours[name], theirs[name]) for name in ours}


def _numbers(model: Any, white: float) -> dict[str, Any]:
    """The model's weights, for pixels from 0 to 1."""
    layers = [*model.hidden, model.logits]
    normalization = model.normalization
    mean = np.asarray(normalization.mean).reshape(-1)[0]
    deviation = np.sqrt(np.asarray(normalization.variance).reshape(-1)[0])
    numbers = {
        "layers": len(layers),
        "mean": mean / white,
        "scale": white / deviation,
        "steps": STEPS,
        "restarts": RESTARTS,
        "inf": INF,
        "two": TWO,
    }
    for i, layer in enumerate(layers):
        numbers[f"kernel_{i}"] = layer.kernel.numpy()
        numbers[f"bias_{i}"] = layer.bias.numpy()
    return numbers


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attacking")
    parser.add_argument("--folder", type=pathlib.Path, help="where the run is kept")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = compare(folder, lambda text: print(text, file=sys.stderr))
    for name, (ours, theirs) in found.items():
        print(
            f"{name:>10}  kerascale {ours:.4f}  ART {theirs:.4f}  {ours - theirs:+.4f}"
        )
    if options.json:
        options.json.write_text(json.dumps(found), encoding="utf-8")
    return int(any(abs(a - b) > _WITHIN for a, b in found.values()))


if __name__ == "__main__":
    sys.exit(main())
