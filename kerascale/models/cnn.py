"""The convolutional network, plain or residual."""

from collections.abc import Sequence
from typing import Any

import keras

from kerascale.layers import ConvolutionBlock, ResidualBlock
from kerascale.layers._arguments import flag, keras_object, positive_int, positive_ints
from kerascale.layers._common import Shape, build_in_turn, require_rank
from kerascale.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="kerascale")
class CNN(Classifier):
    """Stages of 3x3 convolutions on images, then a dense layer.

    Plain, each stage ends with 2x2 max pooling, as in VGG, and the last one is
    flattened. A stage whose image has a side of one pixel is not pooled. Residual,
    each stage but the first begins with a stride of 2, as in ResNet, and the last one
    is averaged over the image, so that height and width are free.

    Args:
        num_classes: Positive integer, number of classes.
        filters: Sequence of positive integers, the channels of each stage.
        blocks_per_stage: Positive integer. A block has two convolutions.
        residual: Boolean. Whether blocks are `kerascale.layers.ResidualBlock`, with
            batch normalization, or `kerascale.layers.ConvolutionBlock`.
        dense_units: Positive integer, the width of the dense layer before the
            output; `None` for no such layer.
        activation: Name or function of the activation.
        **kwargs: `dropout` (before the output), `kernel_initializer`,
            `kernel_regularizer`, `kernel_constraint`, `normalization`,
            `classifier_activation`, `name` and `dtype`: see
            `kerascale.models.Classifier`.

    Call arguments:
        inputs: Tensor of numbers, of shape `(batch, height, width, channels)`.
        training: Boolean, whether to drop and to use the batch's statistics.

    Returns:
        Float tensor of shape `(batch, num_classes)`: probabilities, in float32 under
        mixed precision.

    Raises:
        ValueError: For a bad argument or input shape.

    Example:

    ```python
    model = kerascale.models.CNN(10, filters=(32, 64, 128), residual=True)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=5)
    ```
    """

    def __init__(
        self,
        num_classes: int,
        *,
        filters: Sequence[int] = (32, 64),
        blocks_per_stage: int = 1,
        residual: bool = False,
        dense_units: int | None = 128,
        activation: Any = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        self.filters = positive_ints("filters", filters)
        self.blocks_per_stage = positive_int("blocks_per_stage", blocks_per_stage)
        self.residual = flag("residual", residual)
        if dense_units is not None:
            dense_units = positive_int("dense_units", dense_units)
        self.dense_units = dense_units
        self.activation = keras_object(
            "activation", activation, keras.activations.get, None, "an activation"
        )
        self.blocks = [
            self._make_block(stage, index)
            for stage in range(len(self.filters))
            for index in range(self.blocks_per_stage)
        ]
        layers = keras.layers
        options = {"data_format": "channels_last", "dtype": self.dtype_policy}
        self.pooling = layers.MaxPooling2D(2, name="pooling", **options)
        to_vector = layers.GlobalAveragePooling2D if residual else layers.Flatten
        self.to_vector = to_vector(name="to_vector", **options)
        self.dense = []
        if dense_units is not None:
            dense = self._make_dense(dense_units, "dense", activation=self.activation)
            self.dense.append(dense)
        self.head_dropout = self._make_dropout("head_dropout")
        self._make_head()

    def _make_block(self, stage: int, index: int) -> keras.layers.Layer:
        options = {
            "activation": self.activation,
            "dtype": self.dtype_policy,
            "name": f"stage_{stage}_block_{index}",
            **self.kernels.arguments(),
        }
        if not self.residual:
            return ConvolutionBlock(self.filters[stage], **options)
        strides = 2 if stage > 0 and index == 0 else 1
        return ResidualBlock(self.filters[stage], strides=strides, **options)

    def build(self, input_shape: Shape) -> None:
        free_axes = (1, 2) if self.residual else ()
        shape = self._build_normalization(input_shape, free_axes)
        require_rank("CNN", shape, 4, "(batch, height, width, channels)")
        if None in (shape[3:] if self.residual else shape[1:]):
            raise ValueError(
                "Expected images of known channels, height and width. "
                f"Received: input_shape={tuple(input_shape)}. With residual=True "
                "height and width are free."
            )
        for index, block in enumerate(self.blocks):
            shape = build_in_turn([block], shape)
            if self._pools_after(index, shape):
                shape = build_in_turn([self.pooling], shape)
        self._build_head(build_in_turn([self.to_vector, *self.dense], shape))

    def _pools_after(self, index: int, shape: Shape) -> bool:
        ends_stage = (index + 1) % self.blocks_per_stage == 0
        return not self.residual and ends_stage and min(shape[1:3]) >= 2

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        x = features
        for index, block in enumerate(self.blocks):
            x = block(x, training=training) if self.residual else block(x)
            if self._pools_after(index, x.shape):
                x = self.pooling(x)
        x = self.to_vector(x)
        for dense in self.dense:
            x = dense(x)
        return self._head(self.head_dropout(x, training=training))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": list(self.filters),
            "blocks_per_stage": self.blocks_per_stage,
            "residual": self.residual,
            "dense_units": self.dense_units,
            "activation": keras.activations.serialize(self.activation),
        }
