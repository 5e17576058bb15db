"""The recurrence of a GRU, with a gradient of its own, in a form for XLA on CPUs.

As `_lstm.py` does it.
"""

from typing import Any

import tensorflow as tf

from kerascale.layers._gradients import column_sums, kernel_gradient
from kerascale.layers._scan import as_matrix, before, scan

_GATES = 3


def gru(
    projected: tf.Tensor,
    hidden: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    mask: tf.Tensor | None,
    *,
    every_state: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """[Cho et al., 2014](https://arxiv.org/abs/1406.1078), the reset gate applied last.

    Args:
        projected: Of shape `(length, batch, 3 * units)`: inputs times kernel, plus
            bias, in Keras' order of gates: update, reset, candidate.
        hidden: The first state, of shape `(batch, units)`.
        kernel: The recurrent kernel, of shape `(units, 3 * units)`.
        bias: That of the recurrent product, of shape `(3 * units,)`.
        mask: Boolean, of shape `(length, batch, 1)`: a step that is False keeps the
            state. None: all are True.
        every_state: Whether the states after each step are asked for.

    Returns:
        The states after each step, of shape `(length, batch, units)`, or the one after
        the last, of shape `(batch, units)`; and the last.
    """
    units = kernel.shape[0]

    @tf.custom_gradient
    def recurrence(
        projected: tf.Tensor, hidden: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> Any:
        def forward(state: Any, rows: Any) -> Any:
            h = state[0]
            x_z, x_r, x_g = tf.split(rows[0], _GATES, 1)
            h_z, h_r, h_g = tf.split(tf.matmul(h, kernel) + bias, _GATES, 1)
            z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
            g = tf.tanh(x_g + r * h_g)
            new = z * h + (1 - z) * g
            if mask is not None:
                new = tf.where(rows[1], new, h)
            return (new,), (z, r, g, h_g, new)

        inputs = [projected] if mask is None else [projected, mask]
        (last,), (z, r, g, h_g, h) = scan(
            forward, (hidden,), inputs, [units] * (_GATES + 2)
        )

        def gradient(d_states: tf.Tensor, d_last: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = [z, r, g, h_g, before(hidden, h)]
            if every_state:
                rows.append(d_states)
            else:
                d_last += d_states
            if mask is not None:
                rows.append(mask)
            transposed = tf.transpose(kernel)

            def backward(state: Any, row: Any) -> Any:
                d_h = state[0]
                z, r, g, h_g, h_before, *others = row
                if every_state:
                    d_h += others[0]
                # Of the candidate before its activation, and of all gates in the
                # recurrent product.
                d_g = d_h * (1 - z) * (1 - g * g)
                d_z = tf.concat(
                    [
                        d_h * (h_before - g) * z * (1 - z),
                        d_g * h_g * r * (1 - r),
                        d_g * r,
                    ],
                    1,
                )
                if mask is None:
                    return (d_h * z + tf.matmul(d_z, transposed),), (d_z, d_g)
                d_g = tf.where(others[-1], d_g, tf.zeros_like(d_g))
                d_z = tf.where(others[-1], d_z, tf.zeros_like(d_z))
                kept = tf.where(others[-1], d_h * z, d_h)
                return (kept + tf.matmul(d_z, transposed),), (d_z, d_g)

            (d_first,), (d_z, d_candidate) = scan(
                backward,
                (d_last,),
                rows,
                [_GATES * units, units],
                reverse=True,
            )
            products = as_matrix(d_z)
            return (
                tf.concat([d_z[..., : 2 * units], d_candidate], -1),
                d_first,
                kernel_gradient(as_matrix(before(hidden, h)), products),
                column_sums(products),
            )

        return (h if every_state else last, last), gradient

    return recurrence(projected, hidden, kernel, bias)
