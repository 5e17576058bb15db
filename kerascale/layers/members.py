"""Several models in one, which share most of their weights."""

from typing import Any, Literal

import keras
from keras import ops

from kerascale.datasets.target_scale import exponential
from kerascale.layers._arguments import choice, positive_int
from kerascale.layers._common import Shape
from kerascale.layers._kernels import KernelOptions

Partition = Literal["squares", "softmax", "sigmoid", "exp"]
_PARTITIONS = ("squares", "softmax", "sigmoid", "exp")


@keras.saving.register_keras_serializable(package="kerascale")
class MemberInputs(keras.layers.Layer):
    """The inputs once for each member, with scales of its own.

    What makes members differ though the layers behind are the same for all: the first
    adapter of Gorishniy et al., "TabM: Advancing Tabular Deep Learning with
    Parameter-Efficient Ensembling", 2025 (there TabM-mini).

    Args:
        members: Positive integer, how many.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, features)`.

    Returns:
        Float tensor of shape `(batch, members, features)`.
    """

    def __init__(self, members: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.members = positive_int("members", members)

    def build(self, input_shape: Shape) -> None:
        uniform = keras.initializers.RandomUniform(-1.0, 1.0)

        def signs(shape: Shape, dtype: Any = None) -> Any:
            return ops.sign(uniform(shape, dtype))

        self.scales = self.add_weight(
            shape=(self.members, input_shape[-1]), name="scales", initializer=signs
        )

    def call(self, inputs: Any) -> Any:
        return inputs[:, None, :] * ops.cast(self.scales, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.members, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "members": self.members}


@keras.saving.register_keras_serializable(package="kerascale")
class MemberDense(keras.layers.Layer):
    """A dense layer for each member, with weights of its own.

    Args:
        units: Positive integer, values that each member gives.
        kernel_initializer: As in `keras.layers.Dense`; so are the next two.
        kernel_regularizer: Of all kernels.
        kernel_constraint: Of all kernels.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, members, features)`.

    Returns:
        Float tensor of shape `(batch, members, units)`.
    """

    def __init__(
        self,
        units: int,
        *,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_int("units", units)
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )

    def build(self, input_shape: Shape) -> None:
        _, members, features = input_shape
        options = self.kernels.arguments()
        initializers = [options["kernel_initializer"].clone() for _ in range(members)]

        def each_alone(shape: Shape, dtype: Any = None) -> Any:
            own = (shape[0], self.units)
            return ops.concatenate([init(own, dtype) for init in initializers], axis=1)

        # Of two axes, so that a constraint on a unit's weights is one on a column.
        self.kernel = self.add_weight(
            shape=(features, members * self.units),
            name="kernel",
            initializer=each_alone,
            regularizer=options["kernel_regularizer"],
            constraint=options["kernel_constraint"],
        )
        self.bias = self.add_weight(
            shape=(members, self.units), name="bias", initializer="zeros"
        )

    def call(self, inputs: Any) -> Any:
        features, members = inputs.shape[-1], inputs.shape[1]
        kernel = ops.reshape(
            ops.cast(self.kernel, inputs.dtype), (features, members, self.units)
        )
        found = ops.einsum("bmf,fmu->bmu", inputs, kernel)
        return found + ops.cast(self.bias, found.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, **self.kernels.get_config()}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="kerascale")
class MemberMean(keras.layers.Layer):
    """The mean of the members' logits, and in training what lets each learn alone.

    A model of the mean would let members lean on each other. What is to be small is the
    mean of their losses. Of losses `A(x) - x y`, with logits `x`, that is the loss of
    the mean logit plus `mean(A(x)) - A(mean(x))`, which does not depend on `y` (of
    squared errors: the ambiguity of Krogh and Vedelsby, "Neural Network Ensembles,
    Cross Validation, and Active Learning", 1995). That is added as a loss, a mean over
    the batch; weights of examples do not count in it.

    Args:
        partition: `A`. `"squares"`: of squared errors, `x^2`; `"softmax"`: of
            probabilities of classes, the logarithm of the sum of exponentials;
            `"sigmoid"`: of single labels; `"exp"`: of a Poisson deviance.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, members, units)`.
        training: Boolean.

    Returns:
        Float tensor of shape `(batch, units)`.
    """

    def __init__(self, partition: Partition, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.partition = choice("partition", partition, _PARTITIONS)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        mean = ops.mean(inputs, axis=1)
        if training:
            of_members = ops.mean(self._partition(inputs), axis=1)
            self.add_loss(ops.mean(of_members - self._partition(mean)))
        return mean

    def _partition(self, logits: Any) -> Any:
        """Of shape `(batch, ...)`, without the axis of the units."""
        if self.partition == "softmax":
            return ops.logsumexp(logits, axis=-1)
        if self.partition == "sigmoid":
            return ops.mean(ops.softplus(logits), axis=-1)
        if self.partition == "exp":
            return 2 * ops.mean(exponential(logits), axis=-1)
        return ops.mean(ops.square(logits), axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "partition": self.partition}
