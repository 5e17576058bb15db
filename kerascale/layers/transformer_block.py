"""One block of a Transformer."""

from typing import Any

import keras

from kerascale.layers._arguments import fraction, positive_int
from kerascale.layers._common import Shape, build_in_turn, require_rank
from kerascale.layers._kernels import KernelOptions
from kerascale.layers._trained import Dense, LayerNormalization
from kerascale.layers.attention import SelfAttention, only_given
from kerascale.layers.dropout import Dropout

# Keras' default of 1e-3 is too large for the small activations of a young model.
_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="kerascale")
class TransformerBlock(keras.layers.Layer):
    """A pre-norm block: normalize, attend, add; normalize, feed forward, add.

    With the normalization inside the residual branch the block trains without
    warm-up: [Xiong et al., 2020](https://arxiv.org/abs/2002.04745).

    Args:
        num_heads: Positive integer, a divisor of the inputs' width.
        feedforward_width: Positive integer, units of the hidden layer.
        head_size: Positive integer, the width of each head; see `SelfAttention`.
        causal: Boolean. Whether a position sees only itself and earlier ones.
        dropout: Float, the fraction that is dropped of the attention weights and of
            what each branch adds.
        kernel_initializer: Initializer of all kernels.
        kernel_regularizer: Regularizer of all kernels, or `None`.
        kernel_constraint: Constraint of all kernels, or `None`.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, width)`.
        mask: Boolean tensor of shape `(batch, length)`, `False` at padding.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, length, width)`.

    Raises:
        ValueError: For a bad argument or input shape.

    Example:

    >>> block = kerascale.layers.TransformerBlock(4, 128)
    >>> block(np.zeros((2, 10, 32), "float32")).shape
    (2, 10, 32)
    """

    # `remat` of a mesh computes it again as one.
    is_block = True

    def __init__(
        self,
        num_heads: int,
        feedforward_width: int,
        *,
        head_size: int | None = None,
        causal: bool = False,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.feedforward_width = positive_int("feedforward_width", feedforward_width)
        self.dropout = fraction("dropout", dropout)
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )
        dtype = self.dtype_policy
        self.attention_norm = layer_norm("attention_norm", dtype)
        self.attention = SelfAttention(
            num_heads,
            head_size=head_size,
            causal=causal,
            dropout=dropout,
            dtype=dtype,
            name="attention",
            **self.kernels.arguments(),
        )
        self.attention_dropout = Dropout(dropout, dtype=dtype, name="attention_dropout")
        self.feedforward_norm = layer_norm("feedforward_norm", dtype)
        self.hidden = Dense(
            self.feedforward_width,
            activation="gelu",
            dtype=dtype,
            name="hidden",
            **self.kernels.arguments(),
        )
        self.feedforward_dropout = Dropout(
            dropout, dtype=dtype, name="feedforward_dropout"
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        require_rank("TransformerBlock", input_shape, 3, "(batch, length, width)")
        # Its units are the inputs' width.
        self.feedforward_output = Dense(
            input_shape[-1],
            dtype=self.dtype_policy,
            name="feedforward_output",
            **self.kernels.arguments(),
        )
        build_in_turn([self.attention_norm, self.attention], input_shape)
        build_in_turn(
            [self.feedforward_norm, self.hidden, self.feedforward_output], input_shape
        )

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        x = self.attention_norm(inputs, training=training)
        x = self.attention(x, mask=mask, training=training)
        x = inputs + self.attention_dropout(x, training=training)
        y = self.hidden(self.feedforward_norm(x, training=training), training=training)
        y = self.feedforward_output(y, training=training)
        return x + self.feedforward_dropout(y, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.attention.num_heads,
            "feedforward_width": self.feedforward_width,
            **only_given(head_size=self.attention.given_head_size),
            "causal": self.attention.causal,
            "dropout": self.dropout,
            **self.kernels.get_config(),
        }


def layer_norm(name: str, dtype: Any) -> LayerNormalization:
    return LayerNormalization(epsilon=_EPSILON, dtype=dtype, name=name)
