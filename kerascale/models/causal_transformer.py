"""The Transformer decoder as a language model."""

from typing import Any

import keras

from kerascale.layers import TokenEmbedding, TransformerStack
from kerascale.layers._arguments import positive_int
from kerascale.layers._common import Shape, build_in_turn
from kerascale.layers.attention import size_of_heads
from kerascale.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="kerascale")
class CausalTransformer(Classifier):
    """A pre-norm Transformer that predicts each next token from those before it.

    The output at step `t` depends on the tokens `0 ... t` only. Every id is a token;
    there is no padding id. Leave padding out of the loss with sample weights, or
    with the `ignore_class` of `keras.losses.SparseCategoricalCrossentropy`; padding
    at the end of a sequence changes nothing before it.

    Args:
        vocabulary_size: Positive integer, the number of token ids.
        max_length: Positive integer, the longest sequence. `None` is for
            `positions="sinusoidal"`, where any length will do.
        num_layers: Positive integer, number of blocks.
        num_heads: Positive integer, a divisor of `width`.
        width: Positive integer, the size of a token's vector.
        head_size: Positive integer, the width of each head. `None`, the default:
            `width` divided by `num_heads`.
        feedforward_width: Positive integer, units of each block's hidden layer.
            Defaults to `4 * width`.
        positions: `"learned"` or `"sinusoidal"`.
        **kwargs: `dropout` (of attention weights, of what each branch adds, of the
            embedded inputs), `kernel_initializer`, `kernel_regularizer`,
            `kernel_constraint`, `classifier_activation`, `name` and `dtype`: see
            `kerascale.models.Classifier`.

    Call arguments:
        inputs: Integer tensor of token ids, of shape `(batch, length)`. Length is
            free up to `max_length`.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, length, vocabulary_size)`: the probabilities of
        the next token, in float32 under mixed precision.

    Raises:
        ValueError: For a bad argument, input shape or dtype, or a sequence longer
            than `max_length`.

    Example:

    ```python
    model = kerascale.models.CausalTransformer(256, max_length=128, num_layers=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(token_ids[:, :-1], token_ids[:, 1:], epochs=5)
    ```
    """

    def __init__(
        self,
        vocabulary_size: int,
        *,
        max_length: int | None,
        num_layers: int = 2,
        num_heads: int = 4,
        width: int = 64,
        head_size: int | None = None,
        feedforward_width: int | None = None,
        positions: str = "learned",
        **kwargs: Any,
    ) -> None:
        vocabulary_size = positive_int("vocabulary_size", vocabulary_size)
        super().__init__(vocabulary_size, **kwargs)
        self._refuse_for_token_ids()
        self.vocabulary_size = vocabulary_size
        self.width = positive_int("width", width)
        if head_size is None:
            size_of_heads(self.width, positive_int("num_heads", num_heads))
        if positions == "learned" and max_length is None:
            raise ValueError(
                "Learned positions need to know the longest sequence. Received: "
                'positions="learned" and max_length=None. Pass max_length, or '
                'positions="sinusoidal".'
            )
        self.embedding = TokenEmbedding(
            vocabulary_size, self.width, dtype=self.dtype_policy, name="embedding"
        )
        self.stack = TransformerStack(
            num_layers,
            num_heads,
            4 * self.width if feedforward_width is None else feedforward_width,
            positions=positions,
            max_length=max_length,
            head_size=head_size,
            causal=True,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name="stack",
            **self.kernels.arguments(),
        )
        self._make_head()

    def build(self, input_shape: Shape) -> None:
        shape = self._build_token_ids(input_shape)
        self._build_head(build_in_turn([self.embedding, self.stack], shape))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self._head(self.stack(self.embedding(inputs), training=training))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # Here the one is called vocabulary_size, and the other is refused.
        del config["num_classes"], config["normalization"]
        return {
            **config,
            "vocabulary_size": self.vocabulary_size,
            "width": self.width,
            **self.stack.sizes(),
        }
