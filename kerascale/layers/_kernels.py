"""The options of a kernel: how it starts, what it costs, what it may be."""

import dataclasses
from typing import Any

import keras

from kerascale.layers._arguments import keras_object


@dataclasses.dataclass(frozen=True)
class KernelOptions:
    """Initializer, regularizer and constraint of every kernel of a layer or model.

    Biases, embeddings and the scales of normalization have none of them.
    """

    initializer: keras.initializers.Initializer
    regularizer: keras.regularizers.Regularizer | None
    constraint: keras.constraints.Constraint | None

    @classmethod
    def resolve(
        cls, initializer: Any, regularizer: Any, constraint: Any
    ) -> "KernelOptions":
        """Takes names, configurations or objects. Refuses anything else."""
        return cls(
            initializer=keras_object(
                "kernel_initializer",
                initializer,
                keras.initializers.get,
                keras.initializers.Initializer,
                "a `keras.initializers.Initializer`",
            ),
            regularizer=keras_object(
                "kernel_regularizer",
                regularizer,
                keras.regularizers.get,
                keras.regularizers.Regularizer | None,
                "`None` or a `keras.regularizers.Regularizer`",
            ),
            constraint=keras_object(
                "kernel_constraint",
                constraint,
                keras.constraints.get,
                keras.constraints.Constraint | None,
                "`None` or a `keras.constraints.Constraint`",
            ),
        )

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for one layer, with an initializer of its own.

        An initializer is stateless in Keras 3: used for two kernels of one shape,
        the same instance gives both the same values.
        """
        return {
            "kernel_initializer": self.initializer.clone(),
            **self._without_initializer("kernel"),
        }

    def recurrent_arguments(self) -> dict[str, Any]:
        """The same for the recurrent kernel, which keeps Keras' initializer."""
        return self._without_initializer("recurrent")

    def _without_initializer(self, kind: str) -> dict[str, Any]:
        return {
            f"{kind}_regularizer": self.regularizer,
            f"{kind}_constraint": self.constraint,
        }

    def get_config(self) -> dict[str, Any]:
        """The options as constructor arguments that JSON can hold."""
        return {
            "kernel_initializer": keras.initializers.serialize(self.initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.regularizer),
            "kernel_constraint": keras.constraints.serialize(self.constraint),
        }
