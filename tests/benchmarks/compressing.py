"""What distillation and pruning cost, and what they leave of the accuracy.

`python -m tests.benchmarks.compressing cost`: steps of `mlp` (512 units, batches of 128
images of 28 x 28 pixels, made up) as they are, with masks, with a teacher's answers
beside the labels, and with a teacher in the step; in turns, in one process; in a loop
of TensorFlow, and (`--one-program`) as one program of XLA.
`students`, `pruned-mlp` and `pruned-cnn`: MNIST, by `kerascale.train`, seed by seed in
turns.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import kerascale as ks
from kerascale.compression.distillation import Teacher, distill
from kerascale.compression.distillation.answers import with_rows
from kerascale.compression.formats import packages
from kerascale.compression.formats.rungs import Rung
from kerascale.compression.ladder import build, subject
from kerascale.compression.measuring import latency
from kerascale.compression.pruning import Pruning

EXAMPLES, STEPS_AT_ONCE, EPOCHS = 12_800, 50, 4
MNIST = {"dataset": "tfds:mnist"}
MLP = {**MNIST, "units": (512,), "batch_size": 128, "epochs": 10}
# What half of the filters of `cnn` are cut out with.
CUT: dict[str, dict[str, Any]] = {
    "whole": {"epochs": 4, "schedule": "cosine"},
    "pruned": {
        "epochs": 2,
        "prune": 0.5,
        "prune_structure": "units",
        "prune_begin": 0.0,
        "prune_end": 0.7,
    },
    "tuned": {
        "epochs": 6,
        "filters": (16, 32),
        "dense_units": 64,
        "schedule": "cosine",
    },
}


def cost(rounds: int, one_program: bool) -> dict[str, Any]:
    """Seconds of 400 steps, over those of the plain ones in their round.

    By the clock, and of the processor, which tells more on a machine that does other
    things: quartiles of all rounds.
    """
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(units=(512,), batch_size=128)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (EXAMPLES, 28, 28, 1), dtype=np.uint8)
    data = ks.datasets.from_arrays(x, draw.integers(0, 10, EXAMPLES), config)
    teacher_config = dataclasses.replace(config, units=(1024,))
    teacher = Teacher(recipe.make_model(teacher_config, data))
    train = data.train
    answers = np.zeros((train.num_examples, 10), np.float32)
    total = train.steps_per_epoch * EPOCHS * (rounds + 1)

    def made() -> Any:
        model = recipe.make_model(config, data)
        model.execution = "fixed"
        model.steps_per_execution = STEPS_AT_ONCE
        model.jit_compile = one_program
        return model

    def fit(model: Any, source: Any, *callbacks: Any) -> Callable[[], tuple]:
        def seconds() -> tuple[float, float]:
            began = time.perf_counter(), time.process_time()
            model.fit(source, epochs=EPOCHS, verbose=0, callbacks=list(callbacks))
            return time.perf_counter() - began[0], time.process_time() - began[1]

        return seconds

    # As often as in ten epochs of MNIST: 20 times in half of their 3,990 updates.
    masks = {"keep_masks": True, "end": int(0.9 * total), "frequency": 100}
    ways = {
        "plain": fit(made(), train),
        "pruned": fit(made(), train, Pruning(0.8, **masks)),
        "pruned 2:4": fit(made(), train, Pruning(0.5, structure="2:4", **masks)),
        "answers": fit(distill(made(), None), with_rows(train, answers)),
        "teacher": fit(distill(made(), teacher), train),
        "plain again": fit(made(), train),
    }
    found: dict[str, list[list[float]]] = {name: [[], []] for name in ways}
    for number in range(rounds + 1):
        order = list(ways)
        random.Random(number).shuffle(order)
        seconds = {name: ways[name]() for name in order}
        if number:  # In the first they are traced.
            for name in ways:
                for i in range(2):
                    found[name][i].append(seconds[name][i] / seconds["plain"][i])
    return {
        name: {"clock": _spread(clock), "processor": _spread(processor)}
        for name, (clock, processor) in found.items()
    }


def students(seeds: int, folder: pathlib.Path) -> dict[str, Any]:
    """A tenth of a CNN's parameters, alone and with its teacher."""
    cnn, mlp = ks.load_recipe("cnn"), ks.load_recipe("mlp")
    teacher = folder / "teacher"
    if not (teacher / "evaluation.json").is_file():
        ks.train(cnn, cnn.Config(**MNIST, epochs=2, batch_size=64), run_dir=teacher)
    found = ks.load_run(teacher)
    # So long that the student alone overfits: before that a teacher does not help.
    fields = {**MLP, "units": (58,), "batch_size": 256, "epochs": 30, "dropout": 0.0}
    fields |= {"learning_rate": 4e-3, "schedule": "cosine"}
    taught = {"teacher": (str(teacher),), "teacher_cache": True}
    ways = {"alone": {}, "distilled": taught}
    scores = _in_turns(mlp, fields, ways, seeds, folder)
    gains = np.subtract(scores["distilled"], scores["alone"])
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return {
        "teacher": [found.metrics["accuracy"], found.model.count_params()],
        **scores,
        "gain": float(gains.mean()),
        "standard_error": float(error),
    }


def pruned_mlp(
    seeds: int, folder: pathlib.Path, examples: int | None
) -> dict[str, Any]:
    """`mlp` without 80 % of its weights."""
    fields = {**MLP, **_data(folder, examples)}
    ways = {"whole": {}, "pruned": {"prune": 0.8}}
    return _in_turns(ks.load_recipe("mlp"), fields, ways, seeds, folder)


def pruned_cnn(
    seeds: int, folder: pathlib.Path, examples: int | None
) -> dict[str, Any]:
    """`cnn` without half of its filters: three commands for each seed.

    Trained; pruned from there, with itself as its teacher, and cut; and what is left
    trained on, a quarter of the work of the first a step.
    """
    recipe = ks.load_recipe("cnn")
    fields = {**MNIST, "batch_size": 128, **_data(folder, examples)}
    scores: dict[str, Any] = {}
    for seed in range(seeds):
        before = None
        teacher = {}
        for name, more in CUT.items():
            config = recipe.Config(**fields, **more, **teacher, seed=seed)
            path = folder / f"{name}-{seed}"
            if not (path / "evaluation.json").is_file():
                ks.train(recipe, config, run_dir=path, init_from=before)
            run = ks.load_run(path)
            scores.setdefault(name, []).append(run.metrics["accuracy"])
            print(name, seed, run.metrics["accuracy"], flush=True)
            before = path
            whole = str(folder / f"whole-{seed}")
            teacher = {"teacher": (whole,), "teacher_cache": True}
    if not packages.missing("litert"):
        scores["latency in LiteRT"] = _latency(folder)
    return scores


def _data(folder: pathlib.Path, examples: int | None) -> dict[str, str]:
    return {} if examples is None else {"dataset": _share(folder, examples)}


def _share(folder: pathlib.Path, examples: int) -> str:
    """The first images of MNIST, and all of its test images."""
    import tensorflow_datasets as tfds

    parts = {"train": f"train[:{examples}]", "test": "test"}
    arrays = {}
    for part, split in parts.items():
        found = tfds.as_numpy(tfds.load("mnist", split=split, batch_size=-1))
        arrays |= {f"x_{part}": found["image"], f"y_{part}": found["label"]}
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", **arrays)
    return f"npz:{folder / 'mnist.npz'}"


def _latency(folder: pathlib.Path) -> dict[str, Any]:
    """Of requests to the whole and the cut model of seed 0, in turns."""
    places, inputs = {}, {}
    for name in ("whole", "tuned"):
        what = subject.of(ks.load_run(folder / f"{name}-0"))
        place = pathlib.Path(tempfile.mkdtemp(dir=folder))
        build.build(what, Rung("float32", "litert"), place, None, {})
        places[Rung(name, "litert")] = (place / "model.tflite", subject.DEFAULT)
        (spec,) = what.core_face.specs
        x = np.zeros((32, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
        np.save(folder / "requests.npy", x)
        inputs = {spec.name: str(folder / "requests.npy")}
    found = latency.measure(places, inputs, 1)
    return {rung.level: times for rung, times in found.items()}


def _in_turns(
    recipe: Any,
    fields: dict[str, Any],
    ways: dict[str, dict[str, Any]],
    seeds: int,
    folder: pathlib.Path,
) -> dict[str, Any]:
    scores: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(seeds):
        for name, more in ways.items():
            config = recipe.Config(**fields, **more, seed=seed)
            run = ks.train(recipe, config, run_dir=folder / f"{name}-{seed}")
            scores[name].append(run.metrics["accuracy"])
            print(name, seed, run.metrics["accuracy"], flush=True)
    return scores


def _spread(ratios: Sequence[float]) -> list[float]:
    low, middle, high = statistics.quantiles(ratios, n=4)
    return [round(each, 3) for each in (low, middle, high)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", choices=("cost", "students", "pruned-mlp", "pruned-cnn")
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--one-program", action="store_true", help="of cost: XLA compiles all steps"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument(
        "--examples", type=int, help="of MNIST to train on, for pruned; default: all"
    )
    options = parser.parse_args(arguments)
    folder = options.folder or pathlib.Path(tempfile.mkdtemp())
    if options.what == "cost":
        found = cost(options.rounds, options.one_program)
    elif options.what == "students":
        found = students(options.seeds, folder)
    else:
        way = {"pruned-mlp": pruned_mlp, "pruned-cnn": pruned_cnn}[options.what]
        found = way(options.seeds, folder, options.examples)
    print(json.dumps({"load_average": os.getloadavg(), **found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
