"""The multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import keras

from kerascale.layers._arguments import keras_object, positive_ints
from kerascale.layers._common import Shape, build_in_turn
from kerascale.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="kerascale")
class MLP(Classifier):
    """Dense layers on the flattened input, each followed by dropout.

    Args:
        num_classes: Positive integer, number of classes.
        units: Sequence of positive integers, the width of each hidden layer. `()`
            gives softmax regression.
        activation: Name or function of the hidden layers' activation.
        **kwargs: `dropout`, `kernel_initializer`, `kernel_regularizer`,
            `kernel_constraint`, `normalization`, `classifier_activation`, `name`
            and `dtype`: see `kerascale.models.Classifier`.

    Call arguments:
        inputs: Tensor of numbers, of shape `(batch, ...)` with every other dimension
            known.
        training: Boolean, whether to drop.

    Returns:
        Float tensor of shape `(batch, num_classes)`: probabilities, in float32 under
        mixed precision.

    Raises:
        ValueError: For a bad argument or input shape.

    Example:

    ```python
    model = kerascale.models.MLP(10, units=(256, 128), dropout=0.2)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=5)
    ```
    """

    def __init__(
        self,
        num_classes: int,
        *,
        units: Sequence[int] = (128,),
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.units = positive_ints("units", units, may_be_empty=True)
        self.activation = keras_object(
            "activation", activation, keras.activations.get, None, "an activation"
        )
        self.flatten = keras.layers.Flatten(
            data_format="channels_last", dtype=self.dtype_policy, name="flatten"
        )
        self.hidden = [
            self._make_dense(units, f"hidden_{index}", activation=self.activation)
            for index, units in enumerate(self.units)
        ]
        self.dropouts = [
            self._make_dropout(f"dropout_{index}") for index in range(len(self.units))
        ]
        self._make_head()

    def build(self, input_shape: Shape) -> None:
        shape = self._build_normalization(input_shape)
        if None in shape[1:]:
            raise ValueError(
                "MLP flattens its input: expected every dimension but the batch to "
                f"be known. Received: input_shape={tuple(input_shape)}."
            )
        self._build_head(build_in_turn([self.flatten, *self.hidden], shape))

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        x = self.flatten(features)
        for hidden, dropout in zip(self.hidden, self.dropouts, strict=True):
            x = dropout(hidden(x), training=training)
        return self._head(x)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
        }
