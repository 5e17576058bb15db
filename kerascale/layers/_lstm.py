"""The recurrence of an LSTM, with a gradient of its own, in a form for XLA on CPUs.

Inputs are projected before the loop, and the gradient of the recurrent kernel is one
product after it. Gates stay apart: what joins them by a reshape XLA does not vectorise
on a CPU, what concatenates them it does.
"""

from typing import Any

import tensorflow as tf

from kerascale.layers._gradients import kernel_gradient
from kerascale.layers._scan import as_matrix, before, scan

_GATES = 4


def lstm(
    projected: tf.Tensor,
    hidden: tf.Tensor,
    carry: tf.Tensor,
    kernel: tf.Tensor,
    mask: tf.Tensor | None,
    *,
    every_state: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """[Hochreiter and Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735).

    Args:
        projected: Of shape `(length, batch, 4 * units)`: inputs times kernel, plus
            bias, in Keras' order of gates: input, forget, cell, output.
        hidden: The first state, of shape `(batch, units)`.
        carry: The first cell state, of that shape.
        kernel: The recurrent kernel, of shape `(units, 4 * units)`.
        mask: Boolean, of shape `(length, batch, 1)`: a step that is False keeps both
            states. None: all are True.
        every_state: Whether the states after each step are asked for.

    Returns:
        The states after each step, of shape `(length, batch, units)`, or the one after
        the last, of shape `(batch, units)`; and the last two.
    """
    units = kernel.shape[0]

    @tf.custom_gradient
    def recurrence(
        projected: tf.Tensor, hidden: tf.Tensor, carry: tf.Tensor, kernel: tf.Tensor
    ) -> Any:
        def forward(state: Any, rows: Any) -> Any:
            h, c = state
            parts = tf.split(rows[0] + tf.matmul(h, kernel), _GATES, 1)
            i, f, o = (tf.sigmoid(parts[gate]) for gate in (0, 1, 3))
            g = tf.tanh(parts[2])
            new_c = f * c + i * g
            new_h = o * tf.tanh(new_c)
            if mask is not None:
                new_h = tf.where(rows[1], new_h, h)
                new_c = tf.where(rows[1], new_c, c)
            return (new_h, new_c), (i, f, g, o, new_h, new_c)

        inputs = [projected] if mask is None else [projected, mask]
        last, (i, f, g, o, h, c) = scan(
            forward, (hidden, carry), inputs, [units] * (_GATES + 2)
        )

        def gradient(
            d_states: tf.Tensor, d_hidden: tf.Tensor, d_carry: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            rows = [i, f, g, o, before(carry, c), c]
            if every_state:
                rows.append(d_states)
            else:
                d_hidden += d_states
            if mask is not None:
                rows.append(mask)
            transposed = tf.transpose(kernel)

            def backward(state: Any, row: Any) -> Any:
                d_h, d_c = state
                i, f, g, o, c_before, c, *others = row
                if every_state:
                    d_h += others[0]
                tanh_c = tf.tanh(c)
                d_cell = d_c + d_h * o * (1 - tanh_c * tanh_c)
                d_z = tf.concat(
                    [
                        d_cell * g * i * (1 - i),
                        d_cell * c_before * f * (1 - f),
                        d_cell * i * (1 - g * g),
                        d_h * tanh_c * o * (1 - o),
                    ],
                    1,
                )
                if mask is None:
                    return (tf.matmul(d_z, transposed), d_cell * f), (d_z,)
                d_z = tf.where(others[-1], d_z, tf.zeros_like(d_z))
                d_before = tf.matmul(d_z, transposed)
                d_before += tf.where(others[-1], tf.zeros_like(d_h), d_h)
                return (d_before, tf.where(others[-1], d_cell * f, d_c)), (d_z,)

            (d_first, d_first_carry), (d_z,) = scan(
                backward,
                (d_hidden, d_carry),
                rows,
                [_GATES * units],
                reverse=True,
            )
            d_kernel = kernel_gradient(as_matrix(before(hidden, h)), as_matrix(d_z))
            return d_z, d_first, d_first_carry, d_kernel

        return (h if every_state else last[0], *last), gradient

    return recurrence(projected, hidden, carry, kernel)
