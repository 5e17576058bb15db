"""Examples of a run, read again, with what is needed to explain the answers."""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets.tables.features import TableFeatures
from kerascale.datasets.targets import decided
from kerascale.errors import RefusedError
from kerascale.reporting import examples as shown
from kerascale.reporting import mistakes
from kerascale.runs.run import Run
from kerascale.training import evaluation
from kerascale.trust import some_rows
from kerascale.trust.explanation import parts as parts_of
from kerascale.trust.explanation.parts import Parts
from kerascale.trust.explanation.subject import Subject, can_embed

# Training examples that a table's columns are redrawn from.
_BACKGROUND = 1000


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
    given = np.asarray(run.model.predict(x, verbose=0), np.float32)
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


def subject_of(chosen: Chosen) -> Subject:
    """The examples as they are explained, by the model as it is now."""
    run = chosen.run
    model, info = run.model, run.info
    embeds = can_embed(model)
    inputs = chosen.inputs
    if info.kind in ("text", "table") and not embeds:
        raise RefusedError(
            f"explain: expected a model of kerascale.models for {info.kind}s, or a "
            "subclass of Classifier that has embed and call_embedded. Received: "
            f"{type(model).__name__}, whose inputs have no gradient."
        )
    if info.kind == "text":
        return _of_text(chosen)
    embedded, _ = _embed(model, inputs) if embeds else (_floats(inputs), None)
    baseline = _baseline(chosen, embeds, embedded)
    parts, coarse = _parts(run, embedded)
    return _checked(
        chosen,
        Subject(
            model=model,
            embedded=embedded,
            baseline=np.broadcast_to(baseline, embedded.shape).copy(),
            masks=None,
            targets=chosen.targets,
            parts=parts,
            coarse=coarse,
            has_embedding=embeds,
            **_scale(chosen),
        ),
    )


def _scale(chosen: Chosen) -> dict[str, Any]:
    info = chosen.run.info
    if info.task != "regression":
        return {}
    scale = float(info.target_scale[int(chosen.targets[0])])
    return {"scale": scale or 1.0, "is_regression": True}


def _of_text(chosen: Chosen) -> Subject:
    """Words that are taken away become the unknown word."""
    model = chosen.run.model
    longest = max(1, int((chosen.inputs != 0).sum(axis=1).max()))
    ids = chosen.inputs[:, :longest]
    unknown = np.where(ids == 0, 0, 1).astype(ids.dtype)
    embedded, masks = _embed(model, ids)
    baseline, _ = _embed(model, unknown)
    parts = parts_of.in_a_row(longest)
    subject = Subject(
        model=model,
        embedded=embedded,
        baseline=baseline,
        masks=masks,
        targets=chosen.targets,
        parts=parts,
        coarse=parts,
        has_embedding=True,
        **_scale(chosen),
    )
    return _checked(chosen, subject)


def _checked(chosen: Chosen, subject: Subject) -> Subject:
    """Refuses a model of which the two halves are not the whole."""
    whole = np.asarray(chosen.run.model.predict_on_batch(chosen.inputs))
    whole = whole[np.arange(len(subject)), chosen.targets]
    distance = np.abs(subject.full - whole).max() / subject.scale
    # What half precision rounds.
    limit = 0.05 if "16" in chosen.run.model.compute_dtype else 1e-3
    if distance > limit:
        raise RefusedError(
            f"explain: expected call_embedded(*embed(x)) of "
            f"{type(chosen.run.model).__name__} to be what the model gives. Received: "
            f"numbers that differ by {distance:.4g}."
        )
    return subject


def _embed(model: keras.Model, inputs: np.ndarray) -> tuple[np.ndarray, Any]:
    features, mask = model.embed(tf.constant(inputs))
    features = np.asarray(tf.cast(features, tf.float32))
    return features, None if mask is None else np.asarray(mask)


def _floats(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(inputs, np.float32)


def _baseline(chosen: Chosen, embeds: bool, embedded: np.ndarray) -> np.ndarray:
    """What says nothing: the mean of the training examples."""
    info, model = chosen.run.info, chosen.run.model
    if info.kind == "table":  # Features of a table have mean 0.
        return np.zeros_like(embedded[:1])
    if chosen.mean is not None and chosen.mean.ndim == 0:
        shape = (1, *chosen.inputs.shape[1:])
        mean = np.full(shape, chosen.mean, np.float32)
    else:
        mean = chosen.training.astype(np.float64).mean(axis=0, keepdims=True)
    mean = mean.astype(np.float32)
    return _embed(model, mean)[0] if embeds else mean


def _parts(run: Run, embedded: np.ndarray) -> tuple[Parts, Parts]:
    """All parts, and few."""
    info, shape = run.info, embedded.shape[1:]
    if info.kind == "table":
        features = run.model.normalization
        if not isinstance(features, TableFeatures):
            raise RefusedError(
                "explain: expected a model of a table that begins with "
                "datasets.normalization(). Received: one with other features."
            )
        names = [column.name for column in features.read]
        if features.as_sequence:
            parts = parts_of.in_a_row(len(names), names)
        else:
            parts = parts_of.of_widths(features.widths, names)
        return parts, parts
    if shown.is_picture(info.input_shape) or len(shape) == 3:
        return parts_of.of_picture(*shape[:2]), parts_of.squares(*shape[:2])
    if len(shape) == 2:  # A sequence of vectors: its steps.
        parts = parts_of.in_a_row(shape[0])
        return parts, parts
    parts = parts_of.in_a_row(shape[0], info.feature_names)
    return parts, parts


def training_embedded(chosen: Chosen) -> np.ndarray | None:
    """Training rows as the model computes with them; None of texts and pictures."""
    if chosen.run.info.kind not in ("table", "vector"):
        return None
    if can_embed(chosen.run.model):
        return _embed(chosen.run.model, chosen.training)[0]
    return _floats(chosen.training)


def first(chosen: Chosen, count: int) -> Chosen:
    """The first of the examples."""
    names = ("numbers", "inputs", "labels", "outputs", "targets", "texts")
    return dataclasses.replace(
        chosen, **{name: getattr(chosen, name)[:count] for name in names}
    )
