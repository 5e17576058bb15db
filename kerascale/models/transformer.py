"""The Transformer encoder as a classifier."""

from typing import Any

import keras
from keras import ops

from kerascale.layers import TokenEmbedding, ToSequence, TransformerStack
from kerascale.layers._arguments import positive_int
from kerascale.layers._common import Shape, at_least_float32, build_in_turn
from kerascale.layers.attention import size_of_heads
from kerascale.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="kerascale")
class Transformer(Classifier):
    """A pre-norm Transformer encoder; the mean of its outputs goes to the head.

    It reads token ids, where id 0 is padding at the end of a sequence, or numbers: a
    sequence of vectors as it is, an image by patches or by rows, a flat vector value
    by value. Padding changes nothing: nothing attends to it, and the mean leaves it
    out.

    Args:
        num_classes: Positive integer, number of classes.
        num_layers: Positive integer, number of blocks.
        num_heads: Positive integer, a divisor of `width`.
        width: Positive integer, the size of a token's vector.
        head_size: Positive integer, the width of each head. `None`, the default:
            `width` divided by `num_heads`.
        feedforward_width: Positive integer, units of each block's hidden layer.
            Defaults to `4 * width`.
        patch_size: Positive integer, the side of the square patches that an image is
            cut in; it must divide height and width. `None`, the default, reads an
            image row by row.
        vocabulary_size: Positive integer, the number of token ids including 0. Give
            it for inputs that are token ids, and leave it out for numbers.
        max_length: Positive integer, the longest sequence. `None` takes the length
            that the model is built with; with `"sinusoidal"` any will do.
        positions: `"learned"` or `"sinusoidal"`.
        **kwargs: `dropout` (of attention weights, of what each branch adds, of the
            embedded inputs), `kernel_initializer`, `kernel_regularizer`,
            `kernel_constraint`, `normalization`, `classifier_activation`, `name`
            and `dtype`: see `kerascale.models.Classifier`.

    Call arguments:
        inputs: Tensor of numbers, of shape `(batch, length, features)`, `(batch,
            height, width, channels)` or `(batch, features)`; or integer tensor of
            token ids, of shape `(batch, length)`. Length is free up to `max_length`.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, num_classes)`: probabilities, in float32 under
        mixed precision.

    Raises:
        ValueError: For a bad argument, input shape or dtype, or a sequence longer
            than `max_length`.

    Example:

    ```python
    model = kerascale.models.Transformer(10, patch_size=4, num_layers=4)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=5)
    ```
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_layers: int = 2,
        num_heads: int = 4,
        width: int = 64,
        head_size: int | None = None,
        feedforward_width: int | None = None,
        patch_size: int | None = None,
        vocabulary_size: int | None = None,
        max_length: int | None = None,
        positions: str = "learned",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.width = positive_int("width", width)
        if head_size is None:
            size_of_heads(self.width, positive_int("num_heads", num_heads))
        if feedforward_width is None:
            feedforward_width = 4 * self.width
        self.vocabulary_size = vocabulary_size
        self.to_sequence = None
        if vocabulary_size is None:
            self.to_sequence = ToSequence(
                patch_size, dtype=self.dtype_policy, name="to_sequence"
            )
            self.embedding = self._make_dense(self.width, "embedding")
        else:
            self.vocabulary_size = positive_int("vocabulary_size", vocabulary_size)
            self._refuse_for_token_ids(patch_size=patch_size)
            self.embedding = TokenEmbedding(
                self.vocabulary_size,
                self.width,
                mask_zero=True,
                dtype=self.dtype_policy,
                name="embedding",
            )
        self.stack = TransformerStack(
            num_layers,
            num_heads,
            feedforward_width,
            positions=positions,
            max_length=max_length,
            head_size=head_size,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name="stack",
            **self.kernels.arguments(),
        )
        self.head_dropout = self._make_dropout("head_dropout")
        self._make_head()

    def build(self, input_shape: Shape) -> None:
        if self.vocabulary_size is not None:
            shape = self._build_token_ids(input_shape)
        else:
            is_sequence = len(input_shape) > 2 and self.to_sequence.patch_size is None
            shape = self._build_normalization(input_shape, (1,) if is_sequence else ())
            shape = build_in_turn([self.to_sequence], shape)
        shape = build_in_turn([self.embedding, self.stack], shape)
        self._build_head((shape[0], shape[2]))

    def embed(self, inputs: Any) -> tuple[Any, Any]:
        if self.vocabulary_size is None:
            return super().embed(inputs)
        return self.embedding(inputs), self.embedding.compute_mask(inputs)

    def tokens(self, features: Any) -> Any:
        """The vectors that the first block is given, without their positions.

        Args:
            features: What `embed` gives.
        """
        if self.vocabulary_size is None:
            return self.embedding(self.to_sequence(features))
        return features

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        x = self.stack(self.tokens(features), mask=mask, training=training)
        x = self.head_dropout(self._mean(x, mask), training=training)
        return self._head(x)

    def _mean(self, x: Any, mask: Any) -> Any:
        """The mean over valid positions; zeros where there is none."""
        # float16 ends at 65504, and bfloat16 cannot count to 257.
        x = ops.cast(x, at_least_float32(self.compute_dtype))
        if mask is None:
            mean = ops.mean(x, axis=1)
        else:
            valid = ops.cast(ops.expand_dims(mask, -1), x.dtype)
            mean = ops.sum(x * valid, axis=1) / ops.maximum(ops.sum(valid, axis=1), 1)
        return ops.cast(mean, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        from_images = self.to_sequence is not None
        return {
            **super().get_config(),
            "width": self.width,
            "patch_size": self.to_sequence.patch_size if from_images else None,
            "vocabulary_size": self.vocabulary_size,
            **self.stack.sizes(),
        }
