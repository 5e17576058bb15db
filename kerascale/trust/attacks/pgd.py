"""White-box attacks on a trained classifier: FGSM and PGD with restarts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.trust.attacks import losses, uphill
from kerascale.trust.attacks.ball import Ball

# Examples that have been tried so far, of how many.
Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Found:
    """What an attack has found.

    Args:
        survived: Boolean, of shape (examples,): the answer is right, and stayed so.
        tried: The changed examples: those that are answered wrongly, else the last
            that were tried. Those that were wrong from the beginning are as they are.
    """

    survived: np.ndarray
    tried: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(self.survived.mean())


def is_right(
    model: keras.Model, x: np.ndarray, y: np.ndarray, batch_size: int = 250
) -> np.ndarray:
    """Whether the likeliest class is the true one, of shape (examples,)."""
    found = [
        np.asarray(model.predict_on_batch(x[i : i + batch_size])).argmax(axis=-1)
        for i in range(0, len(x), batch_size)
    ]
    return np.concatenate(found) == y


def fgsm(
    model: keras.Model, x: np.ndarray, y: np.ndarray, ball: Ball, batch_size: int = 250
) -> Found:
    """One step of epsilon along the gradient, from the example itself.

    Goodfellow et al. 2015.
    """
    return pgd(
        model,
        x,
        y,
        ball,
        steps=1,
        step_size=float(ball.epsilon),
        random_start=False,
        batch_size=batch_size,
    )


def pgd(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    ball: Ball,
    *,
    steps: int = 40,
    restarts: int = 1,
    step_size: float | None = None,
    loss: losses.Name = "cross_entropy",
    random_start: bool = True,
    seed: int = 0,
    batch_size: int = 250,
    progress: Progress | None = None,
) -> Found:
    """Steps uphill from random points of the ball; the worst of all restarts counts.

    Args:
        model: Gives probabilities of classes.
        x: Examples, float array of shape (examples, ...).
        y: Class indices of shape (examples,).
        ball: How far an example may move.
        steps: Of each restart.
        restarts: How often each example is tried that still is answered rightly.
        step_size: In the units of `ball.epsilon`. Default: 2.5 * epsilon / steps.
        loss: What is made large.
        random_start: Whether it begins at a random point, and not at the example.
        seed: Of the random points.
        batch_size: Examples that are computed at once.
        progress: Is told how far it is.
    """
    if step_size is None:
        step_size = 2.5 * float(ball.epsilon) / steps
    survived = is_right(model, x, y, batch_size)
    tried = np.array(x)
    climb = _climbing(model, x, ball, steps, step_size, loss, random_start)
    for restart in range(restarts):
        left = np.flatnonzero(survived)
        for first in range(0, len(left), batch_size):
            rows = left[first : first + batch_size]
            now = climb(x[rows], y[rows], seed, restart, first).numpy()
            tried[rows] = now
            survived[rows] = is_right(model, now, y[rows], batch_size)
            if progress is not None:
                done = restart * len(x) + int(rows[-1]) + 1
                progress(done, restarts * len(x))
    return Found(survived, tried)


def _climbing(
    model: keras.Model,
    x: np.ndarray,
    ball: Ball,
    steps: int,
    step_size: float,
    loss: losses.Name,
    random_start: bool,
) -> Callable[..., Any]:
    def climb(x: Any, y: Any, seed: Any, draw: Any, offset: Any) -> tf.Tensor:
        start = x
        if random_start:
            start = ball.start(
                x, tf.cast(seed, tf.uint64), tf.cast(draw, tf.uint64), offset
            )
        function = losses.BY_NAME[loss]
        return uphill.climb(model, x, y, start, function, ball, steps, step_size)

    number = tf.TensorSpec([], tf.int64)
    rows = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
    labels = tf.TensorSpec([None], tf.int64)
    signature = [rows, labels, number, number, number]
    # Traced at once: TensorFlow warns of functions that are made again and again.
    graph = tf.function(climb, autograph=False).get_concrete_function(*signature)

    def call(x: Any, y: Any, seed: int, draw: int, offset: int) -> tf.Tensor:
        # The dtype that labels have, whatever they were stored in.
        given = [tf.constant(n, tf.int64) for n in (seed, draw, offset)]
        return graph(tf.constant(x), tf.constant(y, tf.int64), *given)

    return call
