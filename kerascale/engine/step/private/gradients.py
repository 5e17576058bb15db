"""The sum of the gradients of a slice's examples, each clipped to a norm."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.step.private.taps import Tap

# Bytes that the gradients of examples may take which are computed beside each other.
_MOST_BYTES = 2**28
_MOST_AT_ONCE = 64


def of_taps(
    taps: Sequence[Tap],
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[keras.Variable],
    factors: Callable[[tf.Tensor], tf.Tensor],
) -> list[tf.Tensor]:
    """The sum by the formulas of the layers, without a second backward pass.

    Args:
        taps: All calls of layers.
        gradients: Of each call's products, of each example's own loss; None: the loss
            does not depend on them.
        variables: Those to have gradients of.
        factors: Norms of the examples -> what each gradient is multiplied by.
    """
    pairs = [
        (tap, _wide(g)) for tap, g in zip(taps, gradients, strict=True) if g is not None
    ]
    calls: dict[int, list[tuple[Tap, tf.Tensor]]] = {}
    for tap, g in pairs:
        calls.setdefault(id(tap.layer), []).append((tap, g))
    squares = [_square_norms(of_one) for of_one in calls.values()]
    scale = factors(tf.sqrt(tf.add_n(squares)))
    totals: dict[int, list[tf.Tensor]] = {}
    for tap, g in pairs:
        ones = [1] * (g.shape.rank - 1)
        scaled = g * tf.reshape(tf.cast(scale, g.dtype), [-1, *ones])
        found = tap.rule.total(tap.layer, _wide(tap.given), scaled)
        for variable, own in zip(tap.rule.variables(tap.layer), found, strict=True):
            totals.setdefault(id(variable), []).append(own)
    return [
        tf.cast(tf.add_n(totals[id(v)]), v.dtype)
        if id(v) in totals
        else tf.zeros(v.shape, v.dtype)
        for v in variables
    ]


def _square_norms(calls: list[tuple[Tap, tf.Tensor]]) -> tf.Tensor:
    """Of one layer; the gradients of several calls add up before they have a norm."""
    tap, g = calls[0]
    if len(calls) == 1:
        return tap.rule.square_norms(tap.layer, _wide(tap.given), g)
    each = [t.rule.each(t.layer, _wide(t.given), g) for t, g in calls]
    sums = [tf.add_n(list(of_one)) for of_one in zip(*each, strict=True)]
    return tf.add_n([tf.reduce_sum(f * f, axis=1) for f in map(_flat, sums)])


def _flat(each: tf.Tensor) -> tf.Tensor:
    return tf.reshape(each, [tf.shape(each)[0], -1])


def _wide(tensor: tf.Tensor) -> tf.Tensor:
    """In float32 at least: half precision would round norms."""
    is_half = tensor.dtype.is_floating and tensor.dtype.size < 4
    return tf.cast(tensor, tf.float32) if is_half else tensor


def of_examples(
    gradient: Callable[[Any], list[tf.Tensor]],
    rows: Any,
    variables: Sequence[keras.Variable],
    factors: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    *,
    beside: bool = True,
) -> list[tf.Tensor]:
    """The sum by the gradient of each example by itself, for any model.

    Some are computed beside each other, as many as memory allows.

    Args:
        gradient: One example (a nest without the axis of examples) -> its gradients.
        rows: A nest of tensors, the last of them the factor of each row: 0 where it
            fills up.
        variables: Those to have gradients of.
        factors: Norms of some examples and their factors -> what each gradient is
            multiplied by.
        beside: Whether they are; TensorFlow cannot turn gradients of loops around.
    """
    size = sum(4 * math.prod(variable.shape) for variable in variables)
    at_once = max(1, min(_MOST_AT_ONCE, _MOST_BYTES // max(1, size)))
    at_once = at_once if beside else 1
    first_member = tf.nest.flatten(rows)[0]
    known, count = first_member.shape[0], tf.shape(first_member)[0]
    if known is not None:  # Of static size, which XLA needs.
        at_once = max(n for n in range(1, at_once + 1) if known % n == 0)

    def some(first: tf.Tensor, *sums: tf.Tensor) -> Any:
        number = at_once if known is not None else tf.minimum(at_once, count - first)

        def cut(tensor: tf.Tensor) -> tf.Tensor:
            rest = tf.shape(tensor)[1:]
            begin = tf.concat([[first], tf.zeros_like(rest)], 0)
            part = tf.slice(tensor, begin, tf.concat([[number], rest], 0))
            if known is not None:
                part = tf.ensure_shape(part, [at_once, *tensor.shape[1:]])
            return part

        part = tf.nest.map_structure(cut, rows)
        if beside:
            each = tf.vectorized_map(gradient, part)
        else:
            one = tf.nest.map_structure(lambda t: t[0], part)
            each = [g[None] for g in gradient(one)]
        norms = tf.sqrt(tf.add_n([tf.reduce_sum(f * f, 1) for f in map(_flat, each)]))
        scale = factors(norms, tf.nest.flatten(part)[-1])
        added = [
            total + tf.tensordot(tf.cast(scale, g.dtype), g, 1)
            for total, g in zip(sums, each, strict=True)
        ]
        return first + number, *added

    zeros = [tf.zeros(v.shape, v.dtype) for v in variables]
    _, *totals = tf.while_loop(
        lambda first, *_: first < count,
        some,
        (tf.constant(0), *zeros),
        parallel_iterations=1,
    )
    return list(totals)
