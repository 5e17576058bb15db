"""Blocks of two 3x3 convolutions, plain and residual."""

from typing import Any

import keras

from kerascale.layers._arguments import keras_object, positive_int
from kerascale.layers._common import Shape, build_in_turn, require_rank
from kerascale.layers._kernels import KernelOptions
from kerascale.layers.normalization import batch_normalization

_IMAGE = "(batch, height, width, channels)"


class _Block(keras.layers.Layer):
    """What the two blocks share: their arguments and how a convolution is made."""

    def __init__(
        self,
        filters: int,
        *,
        activation: Any = "relu",
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = positive_int("filters", filters)
        self.activation = keras_object(
            "activation", activation, keras.activations.get, None, "an activation"
        )
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )

    def _convolution(self, name: str, size: int = 3, **kwargs: Any) -> Any:
        return keras.layers.Conv2D(
            self.filters,
            size,
            padding="same",
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
            **self.kernels.arguments(),
            **kwargs,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            **self.kernels.get_config(),
        }


@keras.saving.register_keras_serializable(package="kerascale")
class ConvolutionBlock(_Block):
    """Two 3x3 convolutions, each with its activation, as in VGG.

    [Simonyan and Zisserman, 2015](https://arxiv.org/abs/1409.1556).

    Args:
        filters: Positive integer, number of output channels.
        activation: Name or function of the activation.
        kernel_initializer: Initializer of both kernels.
        kernel_regularizer: Regularizer of both kernels, or `None`.
        kernel_constraint: Constraint of both kernels, or `None`.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, height, width, channels)`.

    Returns:
        Float tensor of shape `(batch, height, width, filters)`.

    Raises:
        ValueError: For a bad argument or input shape.

    Example:

    >>> block = kerascale.layers.ConvolutionBlock(16)
    >>> block(np.zeros((2, 8, 8, 3), "float32")).shape
    (2, 8, 8, 16)
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.first = self._convolution("first", activation=self.activation)
        self.second = self._convolution("second", activation=self.activation)

    def build(self, input_shape: Shape) -> None:
        require_rank("ConvolutionBlock", input_shape, 4, _IMAGE)
        build_in_turn([self.first, self.second], input_shape)

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)


@keras.saving.register_keras_serializable(package="kerascale")
class ResidualBlock(_Block):
    """The basic block of a ResNet: two 3x3 convolutions beside a shortcut.

    `activation(shortcut(x) + norm(conv(activation(norm(conv(x))))))`, where the
    shortcut is `x` itself, or a 1x1 convolution with normalization if the number of
    channels or the size changes: [He et al., 2016](
    https://arxiv.org/abs/1512.03385), option B.

    Args:
        filters: Positive integer, number of output channels.
        strides: Positive integer. 2 halves height and width, rounding up.
        **kwargs: `activation`, `kernel_initializer`, `kernel_regularizer` and
            `kernel_constraint` as in `ConvolutionBlock`; `name`, `dtype` and the
            other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, height, width, channels)`.
        training: Boolean. Whether the batch normalization uses the statistics of
            this batch.

    Returns:
        Float tensor of shape `(batch, height / strides, width / strides, filters)`.

    Raises:
        ValueError: For a bad argument or input shape.

    Example:

    >>> block = kerascale.layers.ResidualBlock(16, strides=2)
    >>> block(np.zeros((2, 8, 8, 3), "float32")).shape
    (2, 4, 4, 16)
    """

    def __init__(self, filters: int, *, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(filters, **kwargs)
        self.strides = positive_int("strides", strides)
        # The normalization that follows has a bias.
        self.first = self._convolution("first", strides=strides, use_bias=False)
        self.first_norm = self._norm("first_norm")
        self.second = self._convolution("second", use_bias=False)
        self.second_norm = self._norm("second_norm")

    def _norm(self, name: str) -> keras.layers.BatchNormalization:
        return batch_normalization(dtype=self.dtype_policy, name=name)

    def build(self, input_shape: Shape) -> None:
        require_rank("ResidualBlock", input_shape, 4, _IMAGE)
        build_in_turn(
            [self.first, self.first_norm, self.second, self.second_norm], input_shape
        )
        self.shortcut = None
        if self.strides != 1 or input_shape[-1] != self.filters:
            self.shortcut = self._convolution(
                "shortcut", size=1, strides=self.strides, use_bias=False
            )
            self.shortcut_norm = self._norm("shortcut_norm")
            build_in_turn([self.shortcut, self.shortcut_norm], input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = self.first_norm(self.first(inputs), training=training)
        x = self.second_norm(self.second(self.activation(x)), training=training)
        if self.shortcut is not None:
            inputs = self.shortcut_norm(self.shortcut(inputs), training=training)
        return self.activation(inputs + x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.second.compute_output_shape(
            self.first.compute_output_shape(input_shape)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strides": self.strides}
