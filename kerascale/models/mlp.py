"""The multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import keras

from kerascale.layers import MemberInputs
from kerascale.layers._arguments import keras_object, positive_int, positive_ints
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
        members: Positive integer. The answer is the mean of so many models that share
            all layers but the last and have scales of their own for the inputs: see
            `kerascale.layers.MemberInputs`. Not with `ordinal`.
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
        members: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.members = positive_int("members", members)
        if self.members > 1 and self.ordinal:
            raise ValueError(
                "`members` must be 1 for classes in an order. Received: members="
                f"{members}."
            )
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
        self.member_inputs = None
        if self.members > 1:
            self.member_inputs = MemberInputs(
                self.members, dtype=self.dtype_policy, name="member_inputs"
            )
        self._make_head(self.members)

    def build(self, input_shape: Shape) -> None:
        shape = self._build_normalization(input_shape)
        if None in shape[1:]:
            raise ValueError(
                "MLP flattens its input: expected every dimension but the batch to "
                f"be known. Received: input_shape={tuple(input_shape)}."
            )
        inputs = [] if self.member_inputs is None else [self.member_inputs]
        self._build_head(build_in_turn([self.flatten, *inputs, *self.hidden], shape))

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        x = self.flatten(features)
        if self.member_inputs is not None:
            x = self.member_inputs(x)
        for hidden, dropout in zip(self.hidden, self.dropouts, strict=True):
            x = dropout(hidden(x), training=training)
        return self._head(x, training=training)

    def get_config(self) -> dict[str, Any]:
        members = {} if self.members == 1 else {"members": self.members}
        return {
            **super().get_config(),
            **members,
            "units": list(self.units),
            "activation": keras.activations.serialize(self.activation),
        }
