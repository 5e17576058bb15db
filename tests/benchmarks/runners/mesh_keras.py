"""Keras' own `fit` on JAX with `keras.distribution.ModelParallel`."""

import keras

from .. import protocol
from . import asked
from .keras_fit import KerasFit
from .mesh import FSDP, asked_mesh, largest_axis, state_bytes, steps_of

# By the end of a path, as Megatron cuts: a head is never divided.
_ATTENTION = {
    "query/kernel": (None, "model", None),
    "key/kernel": (None, "model", None),
    "value/kernel": (None, "model", None),
    "query/bias": ("model", None),
    "key/bias": ("model", None),
    "value/bias": ("model", None),
    "attention_output/kernel": ("model", None, None),
}


class MeshFit(KerasFit):
    """A model that is made under a distribution."""

    def load(self):
        name, axes = asked_mesh()
        mesh = keras.distribution.DeviceMesh(tuple(axes.values()), list(axes))
        layouts = keras.distribution.LayoutMap(mesh)
        # Layers are named as they are made: a model that is not kept says how.
        model = self._workload.keras_model(keras)
        for variable in model.variables:
            shape = tuple(variable.shape)
            is_fsdp = name == FSDP
            layouts[variable.path] = (
                largest_axis(shape, axes["data"])
                if is_fsdp
                else _megatron(variable.path, shape, model.variables[0].shape[1])
            )
        keras.utils.clear_session()
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data")
        )
        return super().load()

    def run(self, epochs):
        num = steps_of(self._workload) * self._workload.batch_size
        self._fit(self._x[:num], self._y[:num], epochs=epochs)
        model = self._model
        variables = (*model.variables, *model.optimizer.variables)
        return state_bytes(variable.value for variable in variables)


def _megatron(path, shape, width):
    """The cut of a variable of a model of that width."""
    for end, cut in _ATTENTION.items():
        if path.endswith(end):
            return cut
    if path.startswith("embedding/"):
        return (None, "model")
    if path.startswith("dense"):
        if len(shape) == 1:  # Of the layer that is wider, by columns.
            return ("model",) if shape[0] > width else (None,)
        return (None, "model") if shape[1] > width else ("model", None)
    return (None,) * len(shape)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(MeshFit(contender, workload), steps_of(workload))
