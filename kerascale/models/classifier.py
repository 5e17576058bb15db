"""What every model here shares: its options, its inputs and its head."""

from typing import Any

import keras
from keras import ops

from kerascale.engine.model import Model
from kerascale.layers import (
    CumulativeLogits,
    Dense,
    Dropout,
    MemberDense,
    MemberMean,
)
from kerascale.layers._arguments import flag, fraction, keras_object, positive_int
from kerascale.layers._common import (
    Shape,
    at_least_float32,
    build_in_turn,
    outside_of_graphs,
    require_rank,
)
from kerascale.layers._kernels import KernelOptions


class Classifier(Model):
    """Abstract: a `kerascale.Model` whose last layers give class probabilities.

    A subclass makes its layers in `__init__`, ends it with `self._make_head()`,
    builds them in `build` and calls them in `call_embedded`, or in `call`.

    Args:
        num_classes: Positive integer, number of values that the model returns.
        dropout: Float, the fraction of values that are dropped during training.
        kernel_initializer: Initializer of the kernels: an object, a name or a
            configuration. Each kernel gets a copy of it; do not give it a seed, or
            kernels of one shape start equal. Recurrent kernels stay orthogonal, and
            embeddings normal.
        kernel_regularizer: Regularizer of the kernels, recurrent ones too, or
            `None`. Biases, embeddings and normalization have none.
        kernel_constraint: Constraint of the same kernels, or `None`.
        normalization: A Keras layer for the inputs, before anything else and in
            their own shape: `keras.layers.Rescaling(1 / 255)`, or a
            `keras.layers.Normalization` that has its mean and variance. Under mixed
            precision give it `dtype="float32"` if its inputs need the digits.
        classifier_activation: Activation of the output, as in
            `keras.applications`. `None` gives logits. It is computed in float32
            under mixed precision.
        ordinal: Boolean. Whether classes have an order, from the lowest to the
            highest: see `kerascale.layers.CumulativeLogits`.
        output_scaling: A Keras layer behind the activation, such as
            `kerascale.layers.TargetScale` for a regression, or `None`. Under mixed
            precision give it `dtype="float32"`.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.Model`.

    Raises:
        ValueError: For a bad argument.

    Example:

    ```python
    class Linear(kerascale.models.Classifier):
        def __init__(self, num_classes, **kwargs):
            super().__init__(num_classes, **kwargs)
            self._make_head()

        def build(self, input_shape):
            self._build_head(self._build_normalization(input_shape))

        def call_embedded(self, features, mask=None, training=None):
            return self._head(features)
    ```
    """

    def __init__(
        self,
        num_classes: int,
        *,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        normalization: keras.layers.Layer | dict[str, Any] | None = None,
        classifier_activation: Any = "softmax",
        ordinal: bool = False,
        output_scaling: keras.layers.Layer | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Keras would round the inputs to half precision before the normalization
        # sees them. Every layer still casts what it gets.
        self.autocast = False
        self.num_classes = positive_int("num_classes", num_classes)
        self.dropout = fraction("dropout", dropout)
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )
        self.normalization = keras_object(
            "normalization",
            normalization,
            _deserialize_layer,
            keras.layers.Layer | None,
            "`None` or a `keras.layers.Layer`",
        )
        self.classifier_activation = keras_object(
            "classifier_activation",
            classifier_activation,
            keras.activations.get,
            None,
            "`None` or an activation",
        )
        self.ordinal = flag("ordinal", ordinal)
        self.output_scaling = keras_object(
            "output_scaling",
            output_scaling,
            _deserialize_layer,
            keras.layers.Layer | None,
            "`None` or a `keras.layers.Layer`",
        )
        softmax = self.classifier_activation is keras.activations.softmax
        if softmax and self.num_classes == 1:
            raise ValueError(
                "A softmax over one class is always 1. Received: num_classes=1 and "
                'classifier_activation="softmax". Use num_classes=2, or '
                'classifier_activation="sigmoid".'
            )

    def _make_dropout(self, name: str) -> Dropout:
        return Dropout(self.dropout, dtype=self.dtype_policy, name=name)

    def _make_dense(self, units: int, name: str, **kwargs: Any) -> Dense:
        options = self.kernels.arguments()
        return Dense(units, dtype=self.dtype_policy, name=name, **options, **kwargs)

    def _make_head(self, members: int = 1) -> None:
        """The last layers.

        Args:
            members: Of how many models the answer is the mean; the features are of
                shape `(batch, members, ...)` where there are several.
        """
        self.member_mean = None
        if members > 1:
            self.logits = MemberDense(
                self.num_classes,
                dtype=self.dtype_policy,
                name="logits",
                **self.kernels.arguments(),
            )
            self.member_mean = MemberMean(
                self._partition(),
                dtype=at_least_float32(self.compute_dtype),
                name="member_mean",
            )
        elif self.ordinal:
            self.logits = CumulativeLogits(
                self.num_classes,
                dtype=self.dtype_policy,
                name="logits",
                **self.kernels.arguments(),
            )
        else:
            self.logits = self._make_dense(self.num_classes, "logits")
        # A layer of its own, and the last thing that happens: Keras finds the
        # logits behind it, and with them the exact loss of a large logit.
        self.predictions = keras.layers.Activation(
            self.classifier_activation,
            dtype=at_least_float32(self.compute_dtype),
            name="predictions",
        )

    def _partition(self) -> str:
        """Which loss members are to have each, by what comes behind the logits."""
        if self.classifier_activation is keras.activations.softmax:
            return "softmax"
        if self.classifier_activation is keras.activations.sigmoid:
            return "sigmoid"
        return "exp" if getattr(self.output_scaling, "link", "") == "log" else "squares"

    def embed(self, inputs: Any) -> tuple[Any, Any]:
        """What the model computes first, behind which gradients go all the way.

        Args:
            inputs: As the model takes them.

        Returns:
            Normalized numbers, features of a table, or vectors of tokens; and which
            positions are no padding, boolean of shape `(batch, length)`, or `None`.
        """
        return self._normalize(inputs), None

    def call_embedded(
        self, features: Any, mask: Any = None, training: bool | None = None
    ) -> Any:
        """The rest of the model, on what `embed` gives."""
        raise NotImplementedError(
            f"{type(self).__name__} has neither `call_embedded` nor `call`."
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        features, mask = self.embed(inputs)
        return self.call_embedded(features, mask, training=training)

    def _build_head(self, shape: Shape) -> None:
        mean = [] if self.member_mean is None else [self.member_mean]
        scaling = [] if self.output_scaling is None else [self.output_scaling]
        build_in_turn([self.logits, *mean, self.predictions, *scaling], shape)

    def _head(self, features: Any, training: bool | None = None) -> Any:
        logits = self.logits(features)
        if self.member_mean is not None:
            logits = self.member_mean(logits, training=training)
        outputs = self.predictions(logits)
        return outputs if self.output_scaling is None else self.output_scaling(outputs)

    def _build_normalization(
        self, input_shape: Shape, free_axes: tuple[int, ...] = ()
    ) -> Shape:
        """Sets the input specification. Returns the shape after normalization."""
        shape = self._set_input_spec(input_shape, free_axes)
        if self.normalization is None:
            return shape
        with outside_of_graphs():
            return build_in_turn([self.normalization], shape)

    def _set_input_spec(
        self, input_shape: Shape, free_axes: tuple[int, ...] = ()
    ) -> Shape:
        """Holds later inputs to this shape, but for the batch and `free_axes`."""
        is_shape = isinstance(input_shape, tuple | list) and all(
            size is None or isinstance(size, int) for size in input_shape
        )
        if not is_shape or len(input_shape) < 2:
            raise ValueError(
                f"{type(self).__name__} expects one tensor, a batch of examples with "
                f"at least one dimension each. Received: input_shape={input_shape}."
            )
        shape = (None, *input_shape[1:])
        free = [None if axis in free_axes else size for axis, size in enumerate(shape)]
        self.input_spec = keras.InputSpec(shape=tuple(free))
        return shape

    def _build_token_ids(self, input_shape: Shape) -> Shape:
        """The same for token ids: any number of them."""
        shape = self._set_input_spec(input_shape, free_axes=(1,))
        require_rank(type(self).__name__, shape, 2, "(batch, length), token ids,")
        return shape

    def _refuse_for_token_ids(self, **arguments: Any) -> None:
        """Refuses arguments that are for numbers only."""
        for name, value in {"normalization": self.normalization, **arguments}.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` is for inputs that are numbers, not token ids. "
                    f"Received: {name}={value!r}. Leave it out."
                )

    def _normalize(self, inputs: Any) -> Any:
        if not keras.backend.is_float_dtype(inputs.dtype):
            inputs = ops.cast(inputs, at_least_float32(self.compute_dtype))
        if self.normalization is not None:
            inputs = self.normalization(inputs)
        return ops.cast(inputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        head: dict[str, Any] = {"ordinal": True} if self.ordinal else {}
        if self.output_scaling is not None:
            scaling = keras.saving.serialize_keras_object(self.output_scaling)
            head["output_scaling"] = scaling
        return {
            **super().get_config(),
            **head,
            "num_classes": self.num_classes,
            "dropout": self.dropout,
            **self.kernels.get_config(),
            "normalization": keras.saving.serialize_keras_object(self.normalization),
            "classifier_activation": keras.activations.serialize(
                self.classifier_activation
            ),
        }


def _deserialize_layer(value: Any) -> Any:
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value
