"""What follows on the last step: the best weights, the final numbers, the files."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from kerascale.callbacks import SaveWeights
from kerascale.config.fields import to_dict
from kerascale.config.monitor import monitor_of
from kerascale.datasets import Datasets
from kerascale.datasets.info import DataInfo
from kerascale.datasets.tables import told
from kerascale.datasets.tables.column import Column
from kerascale.engine.collectives import consensus, whole
from kerascale.runs import files, layout
from kerascale.runs.run import serving_inputs
from kerascale.runtime.console import say
from kerascale.training import task_scores
from kerascale.training.context import RunContext
from kerascale.training.evaluation import answers, evaluate


def take_best_weights(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
    history: dict[str, list[float]],
) -> None:
    """Gives the model the weights of its best epoch, and says which that is.

    All workers call it.

    Args:
        model: Trained.
        context: Of the training.
        callbacks: Those that it had.
        history: Name -> value of each epoch.
    """
    if context.in_parts:
        # Each process reads the file, and JAX keeps what is of its own devices.
        _load_best(model, context, callbacks, history)
        return
    with whole.on_host(model):
        if context.folder is not None:
            _load_best(model, context, callbacks, history)
        consensus.take_from_chief(context.strategy, model.variables)


def _load_best(
    model: keras.Model,
    context: RunContext,
    callbacks: Sequence[keras.callbacks.Callback],
    history: dict[str, list[float]],
) -> None:
    best = context.path / layout.CHECKPOINTS / layout.BEST_WEIGHTS
    if not best.exists():  # With epochs=0 there is none.
        return
    model.load_weights(best)
    monitor = monitor_of(to_dict(context.config), "val_loss" in history)
    values = history[monitor.name]
    early = ""
    if len(values) < context.epochs:
        early = f"stopped early after epoch {len(values)}; "
    known = [c.best_epoch for c in callbacks if isinstance(c, SaveWeights)]
    # Nothing was trained: they are of before.
    epoch = next((e for e in known if e is not None), monitor.best(values))
    say(f"{early}best weights by {monitor.name}: those of epoch {epoch + 1}")


def evaluate_finally(model: keras.Model, datasets: Datasets) -> dict[str, Any]:
    """The final numbers, on examples that were not trained on. All workers call it."""
    for split in ("test", "validation"):
        source = getattr(datasets, split)
        if source is not None:
            threshold = _threshold(model, datasets)
            values = evaluate(model, source.for_evaluation(), datasets.info, threshold)
            return {"split": split, **values}
    return {}


def _threshold(model: keras.Model, datasets: Datasets) -> float | None:
    """Of two classes: the best one on the validation examples."""
    if datasets.info.task != "binary" or datasets.validation is None:
        return None
    source = datasets.validation.for_evaluation()
    labels, outputs = answers(model, source, datasets.info)
    return task_scores.best_threshold(labels, outputs[:, 1])


def counted(datasets: Datasets) -> DataInfo:
    """What is known of the data, with the examples that were really seen."""
    return dataclasses.replace(datasets.info, num_examples=datasets.num_examples)


def save(model: keras.Model, context: RunContext, metrics: dict[str, Any]) -> None:
    """Writes the model and its numbers, by the chief."""
    folder, datasets = context.folder, context.datasets
    model.save(folder.path / layout.MODEL)
    if datasets.vectorizer is not None:
        inputs = serving_inputs(datasets.vectorizer)
        vectorizer = keras.Model(inputs, datasets.vectorizer(inputs))
        vectorizer.save(folder.path / layout.VECTORIZER)
        tokenizer = getattr(datasets.vectorizer, "tokenizer", None)
        if tokenizer is not None:
            place = folder.path / layout.TOKENIZER
            place.write_text(tokenizer, encoding="utf-8")
    if datasets.columns:
        content = told.written([Column.from_json(each) for each in datasets.columns])
        (folder.path / layout.COLUMNS).write_text(content, encoding="utf-8")
    split = datasets.test or datasets.validation or datasets.train
    batch = next(iter(split.for_evaluation().dataset()))
    if datasets.examples is not None:
        batch = datasets.examples
    files.write_examples(folder.path / layout.EXAMPLES, batch)
    config = files.read_json(folder.path, layout.CONFIG)
    info = counted(datasets).to_json()
    if config["data"]["num_examples"] != info["num_examples"]:
        # Batches of a user's own were counted while they were read.
        config["data"]["num_examples"] = info["num_examples"]
        folder.write_json(layout.CONFIG, config)
    # Last: its presence says that the run has finished.
    folder.write_json(layout.EVALUATION, metrics)
