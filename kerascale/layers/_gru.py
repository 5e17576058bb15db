"""The recurrence of a GRU, with a gradient of its own, in a form for XLA on CPUs.

As `_lstm.py` does it.
"""

from typing import Any

import tensorflow as tf

from kerascale.layers._gradients import column_sums
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
            # What the gradient of the state is times to be that of a gate before its
            # activation: of the candidate's input, and of the recurrent product.
            candidate = (1 - z) * (1 - g * g)
            factors = tf.stack(
                [
                    (before(hidden, h) - g) * z * (1 - z),
                    candidate * h_g * r * (1 - r),
                    candidate * r,
                ],
                2,
            )
            keep = z
            if mask is not None:
                candidate = tf.where(mask, candidate, tf.zeros_like(candidate))
                factors = tf.where(mask[..., None], factors, tf.zeros_like(factors))
                keep = tf.where(mask, keep, tf.ones_like(keep))
            rows = [factors, candidate, keep]
            if every_state:
                rows.append(d_states)
            else:
                d_last += d_states
            transposed = tf.transpose(kernel)

            def backward(state: Any, row: Any) -> Any:
                factor, input_factor, kept, *upstream = row
                d_h = state[0] + upstream[0] if every_state else state[0]
                d_z = tf.reshape(d_h[:, None] * factor, [-1, _GATES * units])
                d_before = d_h * kept + tf.matmul(d_z, transposed)
                return (d_before,), (d_z, d_h * input_factor)

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
                tf.matmul(as_matrix(before(hidden, h)), products, transpose_a=True),
                column_sums(products),
            )

        return (h if every_state else last, last), gradient

    return recurrence(projected, hidden, kernel, bias)
