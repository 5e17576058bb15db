"""The recurrence of an LSTM, with a gradient of its own, in a form for XLA on CPUs.

Of the backward pass only what depends on the step after it is in the loop; what does
not is computed for all steps at once before it, and the gradient of the recurrent
kernel after it, in one product.
"""

from typing import Any

import tensorflow as tf

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
            tanh_c = tf.tanh(c)
            # What the gradient of the cell state, or of the output for the last one,
            # is times to be that of a gate before its activation.
            factors = tf.stack(
                [
                    g * i * (1 - i),
                    before(carry, c) * f * (1 - f),
                    i * (1 - g * g),
                    tanh_c * o * (1 - o),
                ],
                2,
            )
            to_cell, keep = o * (1 - tanh_c * tanh_c), f
            if mask is not None:
                factors = tf.where(mask[..., None], factors, tf.zeros_like(factors))
                to_cell = tf.where(mask, to_cell, tf.zeros_like(to_cell))
                keep = tf.where(mask, keep, tf.ones_like(keep))
            rows = {"factors": factors, "to_cell": to_cell, "keep": keep}
            if mask is not None:
                rows["passed"] = tf.cast(~mask, d_hidden.dtype)
            if every_state:
                rows["upstream"] = d_states
            else:
                d_hidden += d_states
            of_output = tf.constant([False, False, False, True])[None, :, None]
            transposed = tf.transpose(kernel)

            def backward(state: Any, values: Any) -> Any:
                row = dict(zip(rows, values, strict=True))
                d_h, d_c = state
                if every_state:
                    d_h += row["upstream"]
                d_c += d_h * row["to_cell"]
                chosen = tf.where(of_output, d_h[:, None], d_c[:, None])
                d_z = tf.reshape(chosen * row["factors"], [-1, _GATES * units])
                d_before = tf.matmul(d_z, transposed)
                if mask is not None:
                    d_before += d_h * row["passed"]
                return (d_before, d_c * row["keep"]), (d_z,)

            (d_first, d_first_carry), (d_z,) = scan(
                backward,
                (d_hidden, d_carry),
                list(rows.values()),
                [_GATES * units],
                reverse=True,
            )
            d_kernel = tf.matmul(
                as_matrix(before(hidden, h)), as_matrix(d_z), transpose_a=True
            )
            return d_z, d_first, d_first_carry, d_kernel

        return (h if every_state else last[0], *last), gradient

    return recurrence(projected, hidden, carry, kernel)
