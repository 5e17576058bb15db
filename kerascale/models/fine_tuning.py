"""A pretrained model with a new head: its features are kept still, then trained too."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kerascale.layers import Dense, Dropout
from kerascale.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="kerascale")
class GradientGate(keras.layers.Layer):
    """Gives its inputs on; gradients pass as long as it is open.

    The values are the same, open or closed. What is in front of a closed gate gets
    gradients of zero, which move nothing but under weight decay of the optimizer.

    Args:
        **kwargs: Those of a layer.
    """

    def build(self, input_shape: Any) -> None:
        del input_shape
        # A variable of the model, so that a checkpoint has it.
        self.is_open = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="is_open"
        )

    def call(self, inputs: Any) -> Any:
        return ops.where(self.is_open > 0.5, inputs, ops.stop_gradient(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras.saving.register_keras_serializable(package="kerascale")
class ChannelAffine(keras.layers.Layer):
    """Multiplies the channels of images by a matrix and adds an offset.

    It is what the `preprocess_input` of a `keras.applications` model does.

    Args:
        matrix: Numbers of shape (channels, channels).
        offset: Numbers of shape (channels,).
        **kwargs: Those of a layer.
    """

    def __init__(
        self, matrix: Sequence[Sequence[float]], offset: Sequence[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.matrix = [[float(value) for value in row] for row in matrix]
        self.offset = [float(value) for value in offset]

    def call(self, inputs: Any) -> Any:
        inputs = ops.cast(inputs, "float32")
        matrix = ops.convert_to_tensor(self.matrix, "float32")
        return ops.matmul(inputs, matrix) + ops.convert_to_tensor(
            self.offset, "float32"
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "matrix": self.matrix, "offset": self.offset}


@keras.saving.register_keras_serializable(package="kerascale")
class Features(keras.layers.Layer):
    """A `kerascale.models` classifier up to its last layer.

    Args:
        model: A built `kerascale.models.Classifier`. Its head is not used, nor
            trained, from here on.
        is_pretrained: Whether it stays as in inference: no dropout, and batch
            normalization by its moving averages.
        **kwargs: Those of a layer.
    """

    def __init__(
        self, model: Classifier, is_pretrained: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.is_pretrained = is_pretrained
        model.logits.trainable = False
        model._head = _as_they_are

    def build(self, input_shape: Any) -> None:
        if not self.model.built:
            self.model.build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.model(inputs, training=False if self.is_pretrained else training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "is_pretrained": self.is_pretrained,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Features":
        model = keras.saving.deserialize_keras_object(config.pop("model"))
        return cls(model, **config)


def _as_they_are(features: Any, training: bool | None = None) -> Any:
    del training
    return features


def fine_tuned(
    backbone: keras.layers.Layer,
    num_classes: int,
    *,
    input_shape: Sequence[int | None],
    channels: int | None = None,
    preprocessing: keras.layers.Layer | None = None,
    is_pretrained: bool = True,
    dropout: float = 0.0,
    kernel_initializer: Any = "glorot_uniform",
    kernel_regularizer: Any = None,
    kernel_constraint: Any = None,
) -> keras.Model:
    """A classifier on the features of another model.

    Inputs pass through the backbone's own preprocessing, then through the backbone, a
    `GradientGate`, a mean over the image where there still is one, dropout and a new
    head.

    Args:
        backbone: Gives features of shape `(batch, n)` or `(batch, height, width, n)`.
        num_classes: Of the new head.
        input_shape: Of an example.
        channels: Of images, as the backbone takes them: gray ones are repeated.
        preprocessing: What the backbone wants done to its inputs.
        is_pretrained: Whether the backbone is called as in inference.
        dropout: Share of features that is dropped in training.
        kernel_initializer: Of the new head.
        kernel_regularizer: Of the new head.
        kernel_constraint: Of the new head.

    Returns:
        A model, built and not compiled, whose output are probabilities.
    """
    # As an export calls it.
    name = "image" if len(input_shape) == 3 else "features"
    inputs = keras.Input(tuple(input_shape), name=name)
    x = inputs
    if channels == 3 and input_shape[-1] == 1:
        x = keras.layers.Concatenate(name="gray_as_colors")([x, x, x])
    if preprocessing is not None:
        x = preprocessing(x)
    x = backbone(x, training=False) if is_pretrained else backbone(x)
    x = GradientGate(name="gate")(x)
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    elif len(x.shape) > 2:
        x = keras.layers.Flatten(name="flatten")(x)
    x = Dropout(dropout, name="dropout")(x)
    x = Dense(
        num_classes,
        kernel_initializer=kernel_initializer,
        kernel_regularizer=kernel_regularizer,
        kernel_constraint=kernel_constraint,
        name="logits",
    )(x)
    outputs = keras.layers.Activation("softmax", dtype="float32", name="predictions")(x)
    return keras.Model(inputs, outputs, name="fine_tuned")
