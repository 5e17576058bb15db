"""A black-box attack: it sees the model's answers, and no gradient.

Andriushchenko et al. 2020, "Square Attack: a query-efficient black-box adversarial
attack via random search". In the norm `2` squares are moved as a whole, within what is
left of epsilon; the attack of the paper spends it more cleverly there.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.trust.attacks import losses, uphill
from kerascale.trust.attacks.ball import Ball
from kerascale.trust.attacks.pgd import Found, Progress, is_right

# Share of the numbers of an example that are changed at once, at the beginning.
_SHARE = 0.8
# After these shares of 10,000 queries the share is halved (table 1 of the paper).
_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_OF_QUERIES = 10_000


def square(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    ball: Ball,
    *,
    queries: int = 300,
    seed: int = 0,
    batch_size: int = 250,
    progress: Progress | None = None,
) -> Found:
    """Moves squares of pictures, or some features of vectors, to and fro at random.

    A change is kept if the margin becomes smaller: that of the true class's logit over
    the largest other one.

    Args:
        model: Gives probabilities of classes.
        x: Examples, float array of shape (examples, ...).
        y: Class indices of shape (examples,).
        ball: How far an example may move.
        queries: Answers that are asked for, of each example.
        seed: Of the squares.
        batch_size: Examples that are asked about at once.
        progress: Is told how far it is.
    """
    ask = _asking(model, x, ball)
    survived = is_right(model, x, y, batch_size)
    tried = np.array(x)
    left = np.flatnonzero(survived)
    for first in range(0, len(left), batch_size):
        rows = left[first : first + batch_size]
        random = np.random.default_rng([seed, first])
        tried[rows] = _search(ask, x[rows], y[rows], ball, queries, random)
        survived[rows] = is_right(model, tried[rows], y[rows], batch_size)
        if progress is not None:
            progress(min(first + batch_size, len(left)), len(left))
    return Found(survived, tried)


# (examples, what is tried instead of them, labels) -> (that within the ball, margins).
_Ask = Callable[..., tuple[np.ndarray, np.ndarray]]


def _asking(model: keras.Model, x: np.ndarray, ball: Ball) -> _Ask:
    def ask(x: Any, now: Any, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        inside = ball.within(x, now)
        return inside, losses.margin(uphill.answers(model, inside), y)

    rows = tf.TensorSpec([None, *x.shape[1:]], x.dtype)
    signature = [rows, rows, tf.TensorSpec([None], tf.int64)]
    # Traced at once: TensorFlow warns of functions that are made again and again.
    graph = tf.function(ask, autograph=False).get_concrete_function(*signature)

    def call(x: Any, now: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        found = graph(tf.constant(x), tf.constant(now), tf.constant(y, tf.int64))
        return tuple(each.numpy() for each in found)

    return call


def _search(
    ask: _Ask,
    x: np.ndarray,
    y: np.ndarray,
    ball: Ball,
    queries: int,
    random: np.random.Generator,
) -> np.ndarray:
    size = np.broadcast_to(ball.scale, x.shape).astype(x.dtype) * float(ball.epsilon)
    if ball.norm == "2":  # So long is a change of all numbers alike.
        size = size / float(np.sqrt(np.prod(x.shape[1:])))
    # Stripes, as the paper begins.
    signs = random.choice([-1.0, 1.0], size=(len(x), *_stripe(x.shape[1:])))
    best, margins = ask(x, x + size * signs.astype(x.dtype), y)
    for query in range(1, queries):
        active = np.flatnonzero(margins < 0)
        if not len(active):
            break
        share = _share(query, queries)
        proposed = best[active].copy()
        for i, row in enumerate(active):
            _move(proposed[i], x[row], size[row], share, ball, random)
        inside, found = ask(x[active], proposed, y[active])
        better = found > margins[active]
        best[active[better]] = inside[better]
        margins[active[better]] = found[better]
    return best


def _share(query: int, queries: int) -> float:
    reached = query * _OF_QUERIES / queries
    return _SHARE / 2 ** sum(reached > at for at in _HALVED)


def _stripe(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of pictures columns of one sign in each channel; of vectors each number."""
    return (1, *shape[1:]) if len(shape) == 3 else shape


def _move(
    proposed: np.ndarray,
    x: np.ndarray,
    size: np.ndarray,
    share: float,
    ball: Ball,
    random: np.random.Generator,
) -> None:
    """Changes a part of one example, in place."""
    window = _window(x.shape, share, random)
    if x.ndim == 3:
        sign = random.choice([-1.0, 1.0], size=(1, 1, x.shape[2])).astype(x.dtype)
    else:
        sign = random.choice([-1.0, 1.0], size=x[window].shape).astype(x.dtype)
    if ball.norm == "inf":
        proposed[window] = x[window] + sign * size[window]
        return
    # Epsilon goes to the window: what the others have is given back when it is clipped.
    part = float(np.sqrt(x.size / max(1, x[window].size)))
    proposed[window] = proposed[window] + sign * size[window] * part


def _window(shape: tuple[int, ...], share: float, random: np.random.Generator) -> Any:
    if len(shape) != 3:
        count = max(1, round(share * int(np.prod(shape))))
        flat = random.permutation(int(np.prod(shape)))[:count]
        return np.unravel_index(flat, shape)
    height, width, _ = shape
    side = max(1, round(np.sqrt(share * height * width)))
    tall, wide = min(side, height), min(side, width)
    top = random.integers(0, height - tall + 1)
    left = random.integers(0, width - wide + 1)
    return slice(top, top + tall), slice(left, left + wide)
