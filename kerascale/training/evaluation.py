"""The final numbers of a model on examples that training never saw."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets.info import DataInfo
from kerascale.datasets.source import Source
from kerascale.datasets.targets import decided
from kerascale.training import task_scores


def evaluate(
    model: keras.Model, source: Source, info: DataInfo, threshold: float | None = None
) -> dict[str, Any]:
    """Evaluates a compiled model on one split.

    Args:
        model: Gives what the task of its data asks for.
        source: The split.
        info: What is known of the data.
        threshold: Of two classes: the probability of the second one from which on it
            is answered; None: 0.5.

    Returns:
        For classifiers: `loss`, `accuracy`, `precision`, `recall` and `f1` (means
        over the classes, each class with the same weight), `per_class`, and
        `confusion_matrix` (rows: true class, columns: predicted class). For
        language models: `loss` in nats per token, `perplexity`, `accuracy`. For a
        user's own `tf.data` without class names: what `model.evaluate` gives. What
        other tasks have beside is in `task_scores`.
    """
    if info.num_outputs:
        return scores_of(info, *answers(model, source, info), threshold)
    if info.kind == "corpus":
        return _evaluate_language_model(model, source)
    values = model.evaluate(source.dataset(), verbose=0, return_dict=True)
    numbers = {name: float(value) for name, value in values.items()}
    # They are counted while they are read.
    return {**numbers, "examples": source.num_examples}


def answers(
    model: keras.Model, source: Source, info: DataInfo
) -> tuple[np.ndarray, np.ndarray]:
    """The labels of a split, and what the model gives for it."""
    # One pass: a user's own data set may shuffle anew in each.
    labels_seen, outputs = [], []
    for x, y in source.dataset():
        labels_seen.append(_flat(y, info))
        outputs.append(np.asarray(model.predict_on_batch(x)))
    return np.concatenate(labels_seen), np.concatenate(outputs)


def scores_of(
    info: DataInfo,
    labels: np.ndarray,
    outputs: np.ndarray,
    threshold: float | None = None,
) -> dict[str, Any]:
    """The numbers of a task.

    Args:
        info: What is known of the data.
        labels: As `Split.labels`.
        outputs: The model's, of shape (examples, outputs).
        threshold: See `evaluate`.
    """
    if info.task == "regression":
        return task_scores.regression(labels, outputs, info)
    if info.task == "multilabel":
        return task_scores.multilabel(labels, outputs, info.target_names)
    if info.task != "binary":
        found = scores(labels, outputs, info.class_names)
        if info.task == "ordinal":
            found = {**found, **task_scores.ordinal(labels, outputs)}
        return found
    threshold = 0.5 if threshold is None else threshold
    own = task_scores.binary(labels, outputs[:, 1], threshold)
    predicted = decided(outputs, threshold)
    return {**scores(labels, outputs, info.class_names, predicted), **own}


def scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: tuple[str, ...],
    predicted: np.ndarray | None = None,
) -> dict[str, Any]:
    """The numbers of a classifier, as `evaluate` has them.

    Args:
        labels: Class indices, integers of shape (examples,).
        probabilities: Of shape (examples, classes).
        class_names: The name of each class.
        predicted: Class indices that are answered; None: the likeliest.
    """
    if predicted is None:
        predicted = decided(probabilities)
    count = len(class_names)
    confusion = np.bincount(labels * count + predicted, minlength=count**2)
    confusion = confusion.reshape(count, count)
    per_class = classification_report(confusion, class_names)
    means = {
        name: float(np.mean([row[name] for row in per_class.values()]))
        for name in ("precision", "recall", "f1")
    }
    return {
        "loss": _cross_entropy(probabilities, labels),
        "accuracy": float(np.mean(predicted == labels)),
        **means,
        "examples": len(labels),
        "per_class": per_class,
        "confusion_matrix": confusion.tolist(),
    }


def classification_report(
    confusion: np.ndarray, class_names: tuple[str, ...]
) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each class.

    A class that was never predicted has precision 0, one without examples recall
    0, as in scikit-learn's `zero_division=0`.

    Args:
        confusion: Counts of shape (classes, classes); rows are true classes.
        class_names: The name of each class.

    Returns:
        Class name -> `precision`, `recall`, `f1`, `examples`.
    """
    right = np.diag(confusion).astype(float)
    true = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    precision = np.divide(
        right, predicted, out=np.zeros_like(right), where=predicted > 0
    )
    recall = np.divide(right, true, out=np.zeros_like(right), where=true > 0)
    f1 = np.divide(
        2 * right,
        true + predicted,
        out=np.zeros_like(right),
        where=true + predicted > 0,
    )
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "examples": int(true[i]),
        }
        for i, name in enumerate(class_names)
    }


def _cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats, without any regularisation term."""
    taken = np.take_along_axis(probabilities, labels[..., None], axis=-1)
    smallest = np.finfo(probabilities.dtype).tiny
    return float(-np.log(np.maximum(taken, smallest), dtype=np.float64).mean())


def _evaluate_language_model(model: keras.Model, source: Source) -> dict[str, Any]:
    nats, right, tokens = 0.0, 0, 0
    # Batch by batch: probabilities of a whole text would not fit in memory.
    for x, y in source.dataset():
        labels = np.asarray(y)
        probabilities = np.asarray(model.predict_on_batch(x))
        nats += _cross_entropy(probabilities, labels) * labels.size
        right += int((probabilities.argmax(axis=-1) == labels).sum())
        tokens += labels.size
    loss = nats / tokens
    return {
        "loss": loss,
        "perplexity": float(np.exp(loss)),
        "accuracy": right / tokens,
        "tokens": tokens,
    }


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How another model answers, beside a model.

    Args:
        accuracy: Share of its answers that are right.
        agreement: Share of the answers in which both choose the same class.
    """

    accuracy: float
    agreement: float


def scores_of_callable(
    answer: Callable[[Any], Any], source: Source, info: DataInfo
) -> dict[str, Any]:
    """The numbers of what is no model: see `scores_of`.

    Args:
        answer: Takes a batch of inputs, returns (batch, outputs).
        source: The examples.
        info: What is known of the data.
    """
    answer = tf.function(answer, autograph=False, reduce_retracing=True)
    labels, outputs = [], []
    for x, y in source.dataset():
        labels.append(_flat(y, info))
        outputs.append(np.asarray(answer(x)))
    return scores_of(info, np.concatenate(labels), np.concatenate(outputs))


def _flat(y: Any, info: DataInfo) -> np.ndarray:
    shape = (-1,) if info.class_names else (-1, len(info.target_names))
    return np.asarray(y).reshape(shape)


def agreement(
    model: keras.Model, other: Callable[[Any], Any], source: Source
) -> Agreement:
    """Compares two models answer by answer.

    Args:
        model: Gives probabilities.
        other: Gives something for each class, of which the largest is its choice.
        source: The examples.
    """
    right, same, total = 0, 0, 0
    other = tf.function(other, autograph=False, reduce_retracing=True)
    for x, y in source.dataset():
        labels = np.asarray(y)
        theirs = np.asarray(other(x)).argmax(axis=-1)
        ours = np.asarray(model.predict_on_batch(x)).argmax(axis=-1)
        right += int((theirs == labels).sum())
        same += int((theirs == ours).sum())
        total += labels.size
    return Agreement(right / total, same / total)
