"""Self-attention with one fused projection."""

from typing import Any

import keras
from keras import ops

from kerascale.layers._arguments import flag, fraction, positive_int
from kerascale.layers._common import Shape, at_least_float32, require_rank
from kerascale.layers._kernels import KernelOptions
from kerascale.layers._trained import Dense
from kerascale.layers.dropout import Dropout

# Finite, so that a row with every position masked gives no NaN. float32 at least is
# what it is used in; its exponential is exactly zero beside any score.
_MASKED = -1e30


def only_given(**arguments: Any) -> dict[str, Any]:
    """Of a configuration what is not None, so that it reads as it did before."""
    return {name: value for name, value in arguments.items() if value is not None}


def size_of_heads(width: int | None, num_heads: int) -> int:
    """Width of one attention head. Refuses a width that the heads do not divide."""
    if width is None or width % num_heads:
        raise ValueError(
            "`num_heads` must divide `width`, the size of a token's vector. "
            f"Received: num_heads={num_heads} and width={width}. Or pass `head_size`."
        )
    return width // num_heads


@keras.saving.register_keras_serializable(package="kerascale")
class SelfAttention(keras.layers.Layer):
    """Multi-head scaled dot-product attention of a sequence to itself.

    It computes what `keras.layers.MultiHeadAttention(num_heads, width // num_heads)`
    computes for `layer(x, x)` ([Vaswani et al., 2017](
    https://arxiv.org/abs/1706.03762), section 3.2), with one matrix product for
    query, key and value instead of three. The softmax is done in float32 at least.

    Args:
        num_heads: Positive integer, a divisor of the inputs' width.
        head_size: Positive integer, the width of each head. `None`, the default: the
            inputs' width divided by `num_heads`; with a number that need not divide it.
        causal: Boolean. Whether a position sees only itself and earlier ones.
        dropout: Float, the fraction of attention weights that are dropped.
        kernel_initializer: Initializer of the kernels; of query, key and value
            separately.
        kernel_regularizer: Regularizer of the kernels, or `None`.
        kernel_constraint: Constraint of the kernels, or `None`.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, width)`.
        mask: Boolean tensor of shape `(batch, length)`, `False` at padding, which
            nothing then attends to. A position that may see nothing at all gets the
            output bias. Defaults to the Keras mask of the inputs, if they have one.
        training: Boolean, whether to drop attention weights.

    Returns:
        Float tensor of shape `(batch, length, width)`.

    Raises:
        ValueError: For a bad argument, an input that is no sequence of vectors, or
            a width that `num_heads` does not divide.

    Example:

    >>> layer = kerascale.layers.SelfAttention(4, causal=True)
    >>> layer(np.zeros((2, 10, 32), "float32")).shape
    (2, 10, 32)
    """

    def __init__(
        self,
        num_heads: int,
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
        self.num_heads = positive_int("num_heads", num_heads)
        if head_size is not None:
            head_size = positive_int("head_size", head_size)
        self.given_head_size = head_size
        self.causal = flag("causal", causal)
        self.dropout = fraction("dropout", dropout)
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )
        self.weights_dropout = Dropout(
            self.dropout, dtype=self.dtype_policy, name="weights_dropout"
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        require_rank("SelfAttention", input_shape, 3, "(batch, length, width)")
        width = input_shape[-1]
        self.head_size = self.given_head_size or size_of_heads(width, self.num_heads)
        fused = self.kernels.arguments()
        fused["kernel_initializer"] = SideBySide(fused["kernel_initializer"], 3)
        self.query_key_value = Dense(
            3 * self.num_heads * self.head_size,
            dtype=self.dtype_policy,
            name="query_key_value",
            **fused,
        )
        self.query_key_value.build(input_shape)
        self.attention_output = Dense(
            width,
            dtype=self.dtype_policy,
            name="attention_output",
            **self.kernels.arguments(),
        )
        inner = self.num_heads * self.head_size
        self.attention_output.build((*input_shape[:-1], inner))

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        length = ops.shape(inputs)[1]
        query, key, value = self._project(inputs, training)
        weights = self.weigh(query, key, mask)
        weights = self.weights_dropout(weights, training=training)
        mixed = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        mixed = ops.reshape(mixed, (-1, length, self.num_heads * self.head_size))
        return self.attention_output(mixed, training=training)

    def _project(self, inputs: Any, training: bool | None) -> list[Any]:
        """Query, key and value, each `(batch, heads, length, head_size)`."""
        fused = self.query_key_value(inputs, training=training)
        heads = (-1, ops.shape(inputs)[1], self.num_heads, self.head_size)
        return [
            ops.transpose(ops.reshape(part, heads), (0, 2, 1, 3))
            for part in ops.split(fused, 3, axis=-1)
        ]

    def attention_weights(self, inputs: Any, mask: Any = None) -> Any:
        """How much each position takes of each other one; see `weigh`.

        Args:
            inputs: As in `call`.
            mask: As in `call`.
        """
        query, key, _ = self._project(inputs, False)
        return self.weigh(query, key, mask)

    def weigh(self, query: Any, key: Any, mask: Any) -> Any:
        """How much each position takes of each other one, before dropout.

        Args:
            query: Of shape `(batch, heads, length, head_size)`.
            key: Of that shape.
            mask: As in `call`.

        Returns:
            Of shape `(batch, heads, query, key)`, in the compute dtype; a row's sum is
            1, or 0 where a position may see nothing.
        """
        # Scaled before the product: float16 ends at 65504.
        query = query * self.head_size**-0.5
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        scores = ops.cast(scores, at_least_float32(self.compute_dtype))
        visible = self._visible(ops.shape(key)[2], mask)
        if visible is None:
            weights = _softmax(scores)
        else:
            weights = _softmax(ops.where(visible, scores, _MASKED))
        if mask is not None:
            # A row with nothing visible has equal weights so far, not zero ones.
            weights = ops.where(visible, weights, 0.0)
        return ops.cast(weights, self.compute_dtype)

    def _visible(self, length: Any, mask: Any) -> Any:
        """What may be seen, broadcastable to `(batch, heads, query, key)`."""
        visible = None
        if self.causal:
            position = ops.arange(length)
            visible = ops.expand_dims(position, 1) >= ops.expand_dims(position, 0)
        if mask is not None:
            require_rank("The mask of SelfAttention", mask.shape, 2, "(batch, length)")
            mask = ops.expand_dims(ops.cast(mask, "bool"), (1, 2))
            visible = mask if visible is None else ops.logical_and(visible, mask)
        return visible

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            **only_given(head_size=self.given_head_size),
            "causal": self.causal,
            "dropout": self.dropout,
            **self.kernels.get_config(),
        }


def _softmax(scores: Any) -> Any:
    # Keras warns of a softmax over one value, which here is a sequence of one token.
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)


@keras.saving.register_keras_serializable(package="kerascale")
class SideBySide(keras.initializers.Initializer):
    """Several kernels beside each other in one, each initialized by itself.

    Glorot's and He's initializers take the scale from the kernel's shape: on the
    fused kernel they would start the projections too small.
    """

    def __init__(self, initializer: Any, num_kernels: int) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.num_kernels = num_kernels

    def __call__(self, shape: Shape, dtype: Any = None) -> Any:
        part = (*shape[:-1], shape[-1] // self.num_kernels)
        parts = [
            self.initializer.clone()(part, dtype=dtype) for _ in range(self.num_kernels)
        ]
        return ops.concatenate(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "num_kernels": self.num_kernels,
        }
