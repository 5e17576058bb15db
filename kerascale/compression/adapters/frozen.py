"""Weights that do not train while adapters do."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import keras

from kerascale.engine.compat import keras_private


@dataclasses.dataclass(frozen=True)
class Frozen:
    """What trained before.

    Args:
        variables: Weights.
        norms: Batch normalizations, whose statistics do not move now.
    """

    variables: list[keras.Variable]
    norms: list[keras.layers.Layer]

    @classmethod
    def of(cls, model: keras.Model, weights: Sequence[keras.Variable]) -> "Frozen":
        """Freezes some weights of a model."""
        variables = [v for v in weights if v.trainable]
        norms = [
            layer
            for layer in keras_private.all_layers(model)
            if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        ]
        frozen = cls(variables, norms)
        frozen._set(False)
        return frozen

    def undo(self) -> None:
        self._set(True)

    def _set(self, value: bool) -> None:
        for layer in self.norms:
            layer.trainable = value
        for variable in self.variables:
            variable.trainable = value

    @contextlib.contextmanager
    def undone(self) -> Iterator[None]:
        """Within it a model's configuration is that of before."""
        self._set(True)
        try:
            yield
        finally:
            self._set(False)
