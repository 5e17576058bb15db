"""The blocks of a Transformer, with positions before and a normalization after."""

from typing import Any

import keras

from kerascale.layers._arguments import choice, fraction, positive_int
from kerascale.layers._common import Shape, build_in_turn, require_rank
from kerascale.layers._kernels import KernelOptions
from kerascale.layers.attention import only_given
from kerascale.layers.dropout import Dropout
from kerascale.layers.positions import (
    PositionEmbedding,
    SinusoidalPositions,
    require_length,
)
from kerascale.layers.transformer_block import TransformerBlock, layer_norm

POSITIONS = ("learned", "sinusoidal")


@keras.saving.register_keras_serializable(package="kerascale")
class TransformerStack(keras.layers.Layer):
    """Positions, `num_layers` blocks and the normalization that ends them.

    Args:
        num_layers: Positive integer, number of blocks.
        num_heads: Positive integer, a divisor of the inputs' width.
        feedforward_width: Positive integer, units of each block's hidden layer.
        positions: `"learned"` (`PositionEmbedding`) or `"sinusoidal"`
            (`SinusoidalPositions`).
        max_length: Positive integer, the longest sequence. `None`, the default, is
            for `"sinusoidal"`, where any length will do, and for sequences whose
            length is known when the layer is built.
        head_size: Positive integer, the width of each head; see `SelfAttention`.
        **kwargs: `causal`, `dropout`, `kernel_initializer`, `kernel_regularizer` and
            `kernel_constraint` as in `TransformerBlock`; `name`, `dtype` and the
            other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, width)`.
        mask: Boolean tensor of shape `(batch, length)`, `False` at padding.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, length, width)`.

    Raises:
        ValueError: For a bad argument or input shape, or a sequence longer than
            `max_length`.

    Example:

    >>> stack = kerascale.layers.TransformerStack(2, 4, 128, positions="sinusoidal")
    >>> stack(np.zeros((2, 10, 32), "float32")).shape
    (2, 10, 32)
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        feedforward_width: int,
        *,
        positions: str = "learned",
        max_length: int | None = None,
        head_size: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        num_layers = positive_int("num_layers", num_layers)
        self.positions = choice("positions", positions, POSITIONS)
        if max_length is not None:
            max_length = positive_int("max_length", max_length)
        self.max_length = max_length
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )
        self.input_dropout = Dropout(
            fraction("dropout", dropout), dtype=self.dtype_policy, name="input_dropout"
        )
        self.blocks = [
            TransformerBlock(
                num_heads,
                feedforward_width,
                head_size=head_size,
                causal=causal,
                dropout=dropout,
                dtype=self.dtype_policy,
                name=f"block_{index}",
                **self.kernels.arguments(),
            )
            for index in range(num_layers)
        ]
        self.norm = layer_norm("norm", self.dtype_policy)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        require_rank("TransformerStack", input_shape, 3, "(batch, length, width)")
        self.position = self._position_layer(input_shape[1])
        build_in_turn([self.position, *self.blocks, self.norm], input_shape)

    def _position_layer(self, length: int | None) -> keras.layers.Layer:
        if self.positions == "sinusoidal":
            return SinusoidalPositions(dtype=self.dtype_policy, name="position")
        max_length = length if self.max_length is None else self.max_length
        if max_length is None:
            raise ValueError(
                "Learned positions need to know the longest sequence. Received: "
                'positions="learned" and max_length=None, for an input of free '
                'length. Pass max_length, or positions="sinusoidal".'
            )
        return PositionEmbedding(max_length, dtype=self.dtype_policy, name="position")

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        require_length(self.max_length, inputs.shape[1])
        x = self.input_dropout(self.position(inputs), training=training)
        for block in self.blocks:
            x = block(x, mask=mask, training=training)
        return self.norm(x, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def sizes(self) -> dict[str, Any]:
        """The arguments that a model takes too, as it got them."""
        block = self.blocks[0]
        return {
            "num_layers": len(self.blocks),
            "num_heads": block.attention.num_heads,
            **only_given(head_size=block.attention.given_head_size),
            "feedforward_width": block.feedforward_width,
            "positions": self.positions,
            "max_length": self.max_length,
        }

    def get_config(self) -> dict[str, Any]:
        block = self.blocks[0]
        return {
            **super().get_config(),
            **self.sizes(),
            "causal": block.attention.causal,
            "dropout": block.dropout,
            **self.kernels.get_config(),
        }
