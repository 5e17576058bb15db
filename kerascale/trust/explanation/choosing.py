"""The examples that are explained, read again."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets.targets import decided
from kerascale.errors import RefusedError
from kerascale.reporting import examples as shown
from kerascale.reporting import mistakes
from kerascale.runs.run import Run
from kerascale.training import evaluation
from kerascale.trust import some_rows

# Training examples that a table's columns are redrawn from.
_BACKGROUND = 1000
_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The examples that are explained.

    Args:
        run: The run.
        split: The name of the split.
        numbers: The place of each in the split, from 0.
        inputs: As the model takes them.
        labels: As the split has them.
        outputs: What the model gives, of shape (examples, outputs).
        targets: Which output of each is explained.
        training: Some training examples, as the model takes them.
        mean: The mean of the training features, where they are numbers.
        texts: What each is in the data, where it is no picture.
    """

    run: Run
    split: str
    numbers: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray
    targets: np.ndarray
    training: np.ndarray
    mean: np.ndarray | None
    texts: tuple[str | None, ...]

    @property
    def answers(self) -> list[str]:
        """What is explained of each: the name of a class, a label or a target."""
        info = self.run.info
        names = [str(name) for name in info.class_names or info.target_names]
        return [names[target] for target in self.targets]

    @property
    def truths(self) -> list[str]:
        """What is right of each, as a person reads it."""
        info = self.run.info
        if info.class_names:
            return [str(info.class_names[int(label)]) for label in self.labels]
        rows = np.asarray(self.labels).reshape(len(self.labels), -1)
        return [f"{row[t]:.4g}" for row, t in zip(rows, self.targets, strict=True)]


def choose(run: Run, split: str, count: int, which: str, target: str | None) -> Chosen:
    """Reads a split again, and takes some of its examples.

    Args:
        run: A run whose model gives numbers for classes, labels or targets.
        split: `test`, `validation` or `train`.
        count: How many, at most.
        which: `spread`: from the whole split; `mistakes`: those that the model got most
            wrong.
        target: The class, label or target that is explained; None: what the model
            answers, the likeliest label, or the first target.

    Raises:
        RefusedError: If the data cannot be had, or there is no such target.
    """
    info = run.info
    if not info.num_outputs:
        raise RefusedError(
            "explain: expected a run on classes, labels or numbers. Received: "
            + ("a language model." if info.kind == "corpus" else "one on tf.data.")
        )
    names = [str(name) for name in info.class_names or info.target_names]
    if target is not None and target not in names:
        raise RefusedError(
            f"--target: expected one of {', '.join(names)}. Received: {target!r}."
        )
    datasets, source = mistakes.open_split(run, split)
    places = some_rows.spread(source.num_examples, count)
    if which == "mistakes":
        labels, outputs = evaluation.answers(run.model, source, info)
        places = _worst(run, labels, outputs, count)
    x, y = some_rows.at(source, places)
    given = outputs_of(run.model, x)
    targets = _targets(run, given, target, names)
    train = datasets.train.for_evaluation()
    training, _ = some_rows.at(train, some_rows.spread(train.num_examples, _BACKGROUND))
    origin = datasets.origins.get(split)
    texts = [None] * len(places)
    if origin is not None and info.kind in ("text", "table"):
        texts = [shown.as_written(str(origin[place])) for place in places]
    return Chosen(
        run=run,
        split=split,
        numbers=places,
        inputs=x,
        labels=y,
        outputs=given,
        targets=targets,
        training=training,
        mean=None if datasets.mean is None else np.asarray(datasets.mean),
        texts=tuple(texts),
    )


def _worst(run: Run, labels: np.ndarray, outputs: np.ndarray, count: int) -> np.ndarray:
    """Where the model was wrong, the worst first."""
    if run.info.task == "regression":
        scale = np.asarray(run.info.target_scale)
        errors = np.abs((outputs - labels.reshape(outputs.shape)) / scale).max(axis=1)
        return np.argsort(-errors, kind="stable")[:count]
    if run.info.task == "multilabel":
        errors = np.abs(outputs - labels).max(axis=1)
        return np.argsort(-errors, kind="stable")[:count]
    given = np.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
    wrong = np.flatnonzero(decided(outputs, run.metrics.get("threshold")) != labels)
    if not len(wrong):
        raise RefusedError(
            "--which: expected spread, as the model has answered every example of this "
            "split right. Received: mistakes."
        )
    return wrong[np.argsort(given[wrong], kind="stable")][:count]


def _targets(
    run: Run, outputs: np.ndarray, target: str | None, names: list[str]
) -> np.ndarray:
    if target is not None:
        return np.full(len(outputs), names.index(target))
    if run.info.task == "regression":
        return np.zeros(len(outputs), int)
    return decided(outputs, run.metrics.get("threshold"))


def outputs_of(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """What a model gives; without a graph, of which each size would need its own."""
    parts = [
        np.asarray(model(tf.constant(inputs[i : i + _ROWS]), training=False))
        for i in range(0, len(inputs), _ROWS)
    ]
    return np.concatenate(parts).astype(np.float32)


def first(chosen: Chosen, count: int) -> Chosen:
    """The first of the examples."""
    names = ("numbers", "inputs", "labels", "outputs", "targets", "texts")
    return dataclasses.replace(
        chosen, **{name: getattr(chosen, name)[:count] for name in names}
    )
