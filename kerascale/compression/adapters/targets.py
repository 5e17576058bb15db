"""Which kernels of a model can have adapters."""

import dataclasses
import fnmatch
from collections.abc import Sequence

import keras

from kerascale.compression import named_layers
from kerascale.compression.adapters.low_rank import matrix_shape
from kerascale.config.fields import nearest
from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """A kernel that can have an adapter.

    Args:
        layer: Whose kernel it is.
        name: The layer's attribute.
        variable: The kernel.
        inputs: Its axes that are inputs.
        path: Of the layer, below the model.
    """

    layer: keras.layers.Layer
    name: str
    variable: keras.Variable
    inputs: tuple[int, ...]
    path: str

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs), as a matrix."""
        return matrix_shape(tuple(self.variable.shape), self.inputs)

    @property
    def label(self) -> str:
        """What users call it."""
        return f"{self.path} ({self.name}, {self.shape[0]} x {self.shape[1]})"


_CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)


def find(model: keras.Model) -> list[Target]:
    """All kernels that can have one: of dense layers, embeddings, recurrent cells.

    In the order of the model's layers, which is the same in each process.
    """
    names = {id(layer): path for path, layer in named_layers.paths(model).items()}
    layers = keras_private.all_layers(model)
    return [t for layer in layers for t in of_layer(layer, names.get(id(layer), ""))]


def of_layer(layer: keras.layers.Layer, path: str) -> list[Target]:
    """Those of one layer.

    Args:
        layer: The layer.
        path: Its path, below the model.
    """
    if not layer.built or getattr(layer, "quantization_mode", None) is not None:
        return []
    names: dict[str, tuple[int, ...]] = {}
    if isinstance(layer, keras.layers.Dense):
        names = {"kernel": (0,)}
    elif isinstance(layer, keras.layers.EinsumDense):
        names = {"kernel": _contracted(layer.equation)}
    elif isinstance(layer, keras.layers.Embedding):
        names = {"embeddings": (0,)}
    elif isinstance(layer, _CELLS):
        names = {"kernel": (0,), "recurrent_kernel": (0,)}
    found = []
    for name, inputs in names.items():
        variable = getattr(layer, name)
        # A sum is none: it has an adapter already, perhaps one of Keras' own.
        if isinstance(variable, keras.Variable):
            found.append(Target(layer, name, variable, inputs, path or layer.name))
    return found


def chosen(found: Sequence[Target], layers: Sequence[str]) -> list[Target]:
    """Those of some layers.

    Args:
        found: Of `find`.
        layers: Names of layers, or of groups of them, or patterns of their paths such
            as `stack/*/hidden`. Empty: all.

    Raises:
        RefusedError: Naming each that fits none.
    """
    if not layers:
        return list(found)
    names = dict.fromkeys(part for target in found for part in target.path.split("/"))
    problems = [
        f"layers: expected names or patterns of {', '.join(names)}. Received: "
        f"{layer!r}, which fits none.{nearest(layer, list(names))}"
        for layer in layers
        if not any(_fits(target, layer) for target in found)
    ]
    if problems:
        raise RefusedError(problems, heading="adapters")
    return [t for t in found if any(_fits(t, layer) for layer in layers)]


def _fits(target: Target, layer: str) -> bool:
    return layer in target.path.split("/") or fnmatch.fnmatchcase(target.path, layer)


def _contracted(equation: str) -> tuple[int, ...]:
    """Axes of an `EinsumDense` kernel that are multiplied along, and gone after it."""
    inputs, outputs = equation.replace(" ", "").split("->")
    kernel = inputs.split(",")[1]
    return tuple(i for i, axis in enumerate(kernel) if axis not in outputs)
