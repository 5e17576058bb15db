"""Keras' LSTM and GRU, which XLA trains faster on a CPU.

Outside of XLA, on other devices, in inference and in what is exported they are Keras'
own.
"""

from typing import Any

import keras
import tensorflow as tf

from kerascale.layers import _gradients
from kerascale.layers._gru import gru
from kerascale.layers._lstm import lstm


@keras.saving.register_keras_serializable(package="kerascale")
class LSTM(keras.layers.LSTM):
    """A `keras.layers.LSTM` that trains faster where XLA compiles the step for a CPU.

    Weights, saved files, outputs and gradients are those of Keras' layer. The inputs
    of all steps are projected in one product, and so are the gradients of the kernels
    computed: [Appleyard et al., 2016](https://arxiv.org/abs/1604.01946).

    Dropout inside of the layer, other activations than `tanh` and `sigmoid`,
    `stateful`, `unroll` and half precision are done as Keras does them.

    Args:
        units: Positive integer, the size of the output.
        **kwargs: All other arguments of `keras.layers.LSTM`.

    Call arguments:
        sequences: Float tensor of shape `(batch, length, features)`.
        initial_state: The two first states, of shape `(batch, units)`. Defaults to
            zeros.
        mask: Boolean tensor of shape `(batch, length)`: steps that are False change
            nothing.
        training: Boolean.

    Returns:
        Float tensor of shape `(batch, units)`, or `(batch, length, units)` with
        `return_sequences=True`; and the two last states with `return_state=True`.

    Example:

    >>> layer = kerascale.layers.LSTM(4)
    >>> layer(np.zeros((2, 3, 5), "float32")).shape
    (2, 4)
    """

    def inner_loop(
        self,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        training: bool | None = False,
    ) -> Any:
        if not training or not _is_ours(self):
            return super().inner_loop(sequences, initial_state, mask, training)
        cell = self.cell
        bias = cell.bias if self.use_bias else None
        rows, mask = _time_major(self, sequences, mask)
        states, *last = lstm(
            _gradients.affine(rows, cell.kernel, bias),
            *initial_state,
            tf.convert_to_tensor(cell.recurrent_kernel),
            mask,
            every_state=self.return_sequences,
        )
        return _outputs(self, states, last, mask)


@keras.saving.register_keras_serializable(package="kerascale")
class GRU(keras.layers.GRU):
    """A `keras.layers.GRU` that trains faster where XLA compiles the step for a CPU.

    As `kerascale.layers.LSTM`; also `reset_after=False` is done as Keras does it.

    Args:
        units: Positive integer, the size of the output.
        **kwargs: All other arguments of `keras.layers.GRU`.

    Call arguments:
        sequences: Float tensor of shape `(batch, length, features)`.
        initial_state: The first state, of shape `(batch, units)`. Defaults to zeros.
        mask: Boolean tensor of shape `(batch, length)`: steps that are False change
            nothing.
        training: Boolean.

    Returns:
        Float tensor of shape `(batch, units)`, or `(batch, length, units)` with
        `return_sequences=True`; and the last state with `return_state=True`.

    Example:

    >>> layer = kerascale.layers.GRU(4)
    >>> layer(np.zeros((2, 3, 5), "float32")).shape
    (2, 4)
    """

    def inner_loop(
        self,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        training: bool | None = False,
    ) -> Any:
        if not training or not self.reset_after or not _is_ours(self):
            return super().inner_loop(sequences, initial_state, mask, training)
        cell = self.cell
        of_inputs, of_states = None, tf.zeros([3 * self.units], self.compute_dtype)
        if self.use_bias:
            of_inputs, of_states = tf.unstack(tf.convert_to_tensor(cell.bias))
        rows, mask = _time_major(self, sequences, mask)
        states, *last = gru(
            _gradients.affine(rows, cell.kernel, of_inputs),
            *initial_state,
            tf.convert_to_tensor(cell.recurrent_kernel),
            of_states,
            mask,
            every_state=self.return_sequences,
        )
        return _outputs(self, states, last, mask)


def _is_ours(layer: keras.layers.RNN) -> bool:
    """Whether this is a case that our loops know, where they are faster."""
    cell = layer.cell
    return (
        keras.backend.backend() == "tensorflow"
        and _gradients.is_compiled_for_cpu()
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
        and not (cell.dropout or cell.recurrent_dropout)
        and not (layer.stateful or layer.unroll)
        # It was asked for, and Keras says that there is none.
        and layer.use_cudnn is not True
        and layer.compute_dtype in ("float32", "float64")
    )


def _time_major(layer: keras.layers.RNN, sequences: Any, mask: Any) -> Any:
    """Inputs and mask in the order in which they are read, steps first."""
    rows = tf.transpose(sequences, [1, 0, 2])
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        if len(mask.shape) == 2:
            mask = mask[..., None]
        mask = tf.transpose(mask, [1, 0, 2])
    if layer.go_backwards:
        rows = tf.reverse(rows, [0])
        mask = None if mask is None else tf.reverse(mask, [0])
    return rows, mask


def _outputs(
    layer: keras.layers.RNN,
    states: tf.Tensor,
    last: list[tf.Tensor],
    mask: tf.Tensor | None,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """What Keras makes of the states: the last output, all outputs, the last states.

    The output of a step that is masked is that of the step before, or zero; before the
    first one it is zero, too, whatever the first state was.
    """
    if not layer.return_sequences:
        states = states[None]
    if mask is not None:
        shown = mask
        if not layer.zero_output_for_mask:
            places = tf.range(tf.shape(mask)[0])[:, None, None]
            first = tf.argmax(tf.cast(mask, tf.int32), 0, tf.int32)
            shown = (places >= first) & tf.reduce_any(mask, 0)
        if not layer.return_sequences:
            shown = shown[-1:]
        states = tf.where(shown, states, tf.zeros_like(states))
    return states[-1], tf.transpose(states, [1, 0, 2]), last
