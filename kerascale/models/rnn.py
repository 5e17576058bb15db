"""The recurrent network."""

from collections.abc import Sequence
from typing import Any

import keras

from kerascale.layers import GRU, LSTM, TokenEmbedding, ToSequence
from kerascale.layers._arguments import choice, flag, positive_int, positive_ints
from kerascale.layers._common import Shape, build_in_turn
from kerascale.models.classifier import Classifier

_CELLS = {
    "gru": GRU,
    "lstm": LSTM,
    "simple": keras.layers.SimpleRNN,
}


@keras.saving.register_keras_serializable(package="kerascale")
class RNN(Classifier):
    """Stacked recurrent layers; the last state goes to the head.

    It reads a sequence of vectors as it is, an image row by row, a flat vector value
    by value, and token ids through an embedding, where id 0 is padding: padded steps
    change nothing, wherever they stand.

    The layers do not use cuDNN, which cannot be compiled by XLA and accepts padding
    only at the end: the result is the same on every device.

    Args:
        num_classes: Positive integer, number of classes.
        units: Sequence of positive integers, the units of each recurrent layer.
        cell: `"lstm"`, `"gru"` or `"simple"`.
        bidirectional: Boolean. Whether each layer also reads the sequence backwards,
            with weights of its own; the two outputs are concatenated.
        vocabulary_size: Positive integer, the number of token ids including 0. Give
            it for inputs that are token ids, and leave it out for numbers.
        embedding_dim: Positive integer, the size of a token's vector.
        **kwargs: `dropout` (after each recurrent layer), `kernel_initializer`,
            `kernel_regularizer`, `kernel_constraint`, `normalization`,
            `classifier_activation`, `name` and `dtype`: see
            `kerascale.models.Classifier`.

    Call arguments:
        inputs: Tensor of numbers, of shape `(batch, length, features)`, `(batch,
            height, width, channels)` or `(batch, features)`; or integer tensor of
            token ids, of shape `(batch, length)`. Length and height are free.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, num_classes)`: probabilities, in float32 under
        mixed precision.

    Raises:
        ValueError: For a bad argument, input shape or dtype.

    Example:

    ```python
    model = kerascale.models.RNN(2, vocabulary_size=20_000, bidirectional=True)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(token_ids, labels, epochs=5)
    ```
    """

    def __init__(
        self,
        num_classes: int,
        *,
        units: Sequence[int] = (64,),
        cell: str = "lstm",
        bidirectional: bool = False,
        vocabulary_size: int | None = None,
        embedding_dim: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.units = positive_ints("units", units)
        self.cell = choice("cell", cell, _CELLS)
        self.bidirectional = flag("bidirectional", bidirectional)
        self.embedding_dim = positive_int("embedding_dim", embedding_dim)
        self.vocabulary_size = vocabulary_size
        if vocabulary_size is None:
            self.to_sequence = ToSequence(dtype=self.dtype_policy, name="to_sequence")
        else:
            self.vocabulary_size = positive_int("vocabulary_size", vocabulary_size)
            self._refuse_for_token_ids()
            self.to_sequence = TokenEmbedding(
                self.vocabulary_size,
                self.embedding_dim,
                mask_zero=True,
                dtype=self.dtype_policy,
                name="embedding",
            )
        last = len(self.units) - 1
        self.recurrent = [
            self._make_recurrent(
                units, f"{cell}_{index}", return_sequences=index < last
            )
            for index, units in enumerate(self.units)
        ]
        self.dropouts = [
            self._make_dropout(f"dropout_{index}") for index in range(len(self.units))
        ]
        self._make_head()

    def _make_recurrent(
        self, units: int, index: int, *, return_sequences: bool
    ) -> keras.layers.Layer:
        options = {
            "return_sequences": return_sequences,
            "dtype": self.dtype_policy,
            **self.kernels.recurrent_arguments(),
        }
        if self.cell != "simple":
            options["use_cudnn"] = False
        name = f"{self.cell}_{index}"
        cell = _CELLS[self.cell]
        layer = cell(units, name=name, **self.kernels.arguments(), **options)
        if not self.bidirectional:
            return layer
        return keras.layers.Bidirectional(
            layer, dtype=self.dtype_policy, name=f"bidirectional_{name}"
        )

    def build(self, input_shape: Shape) -> None:
        if self.vocabulary_size is not None:
            shape = self._build_token_ids(input_shape)
        else:
            # The length of a sequence is free, whatever the first one was.
            free_axes = (1,) if len(input_shape) > 2 else ()
            shape = self._build_normalization(input_shape, free_axes)
        self._build_head(build_in_turn([self.to_sequence, *self.recurrent], shape))

    def embed(self, inputs: Any) -> tuple[Any, Any]:
        if self.vocabulary_size is None:
            return super().embed(inputs)
        return self.to_sequence(inputs), self.to_sequence.compute_mask(inputs)

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        is_numbers = self.vocabulary_size is None
        x = self.to_sequence(features) if is_numbers else features
        for layer, dropout in zip(self.recurrent, self.dropouts, strict=True):
            x = dropout(layer(x, mask=mask, training=training), training=training)
        return self._head(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "cell": self.cell,
            "bidirectional": self.bidirectional,
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
        }
