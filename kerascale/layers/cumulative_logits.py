"""The head of classes that have an order."""

from typing import Any

import keras
from keras import ops

from kerascale.layers._arguments import positive_int
from kerascale.layers._common import Shape
from kerascale.layers._kernels import KernelOptions


@keras.saving.register_keras_serializable(package="kerascale")
class CumulativeLogits(keras.layers.Layer):
    """Log-probabilities of ranks: the proportional odds model.

    One score `s` is computed of an example, and `P(rank > k) = sigmoid(s - t_k)`, with
    thresholds `t_0 < t_1 < ...` that are learned (McCullagh, "Regression Models for
    Ordinal Data", 1980). The probability of a rank is the difference of two of these,
    whose logarithm is computed without a difference, so that none is lost far out.

    Args:
        num_ranks: Integer, at least 2.
        kernel_initializer: Of the score, as in `keras.layers.Dense`; so are the next
            two.
        kernel_regularizer: Of the score.
        kernel_constraint: Of the score.
        **kwargs: `name`, `dtype` and the other arguments of a `keras.layers.Layer`.

    Call arguments:
        inputs: Float tensor of shape `(batch, features)`.

    Returns:
        Float tensor of shape `(batch, num_ranks)`, whose softmax is itself the
        probabilities of the ranks.
    """

    def __init__(
        self,
        num_ranks: int,
        *,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_ranks = positive_int("num_ranks", num_ranks)
        if self.num_ranks < 2:
            raise ValueError(
                f"`num_ranks` must be at least 2. Received: num_ranks={num_ranks}."
            )
        self.kernels = KernelOptions.resolve(
            kernel_initializer, kernel_regularizer, kernel_constraint
        )

    def build(self, input_shape: Shape) -> None:
        options = self.kernels.arguments()
        self.kernel = self.add_weight(
            shape=(input_shape[-1], 1),
            name="kernel",
            initializer=options["kernel_initializer"],
            regularizer=options["kernel_regularizer"],
            constraint=options["kernel_constraint"],
        )
        constant = keras.initializers.Constant
        self.first = self.add_weight(
            shape=(1,), name="first", initializer=constant(-1.0)
        )
        if self.num_ranks > 2:
            # Through a softplus, so that thresholds stay in their order.
            self.gaps = self.add_weight(
                shape=(self.num_ranks - 2,),
                name="gaps",
                initializer=constant(0.5413),  # whose softplus is 1
            )

    def call(self, inputs: Any) -> Any:
        score = ops.matmul(inputs, ops.cast(self.kernel, inputs.dtype))
        first = ops.cast(self.first, score.dtype)
        # log P(rank > k) and log P(rank <= k) for each threshold.
        if self.num_ranks == 2:
            return ops.concatenate(
                [-ops.softplus(score - first), -ops.softplus(first - score)], -1
            )
        gaps = ops.softplus(ops.cast(self.gaps, score.dtype)) + 1e-4
        thresholds = ops.concatenate([first, first + ops.cumsum(gaps)], 0)
        above = -ops.softplus(thresholds - score)
        below = -ops.softplus(score - thresholds)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)).
        between = above[:, :-1] + below[:, 1:] + ops.log(-ops.expm1(-gaps))
        return ops.concatenate([below[:, :1], between, above[:, -1:]], -1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.num_ranks)

    def get_config(self) -> dict[str, Any]:
        own = {"num_ranks": self.num_ranks, **self.kernels.get_config()}
        return {**super().get_config(), **own}
