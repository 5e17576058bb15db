"""kerascale on a mesh: the strategy's scope, `ks.scale(model)`, `compile`, `fit`."""

import kerascale as ks  # First, as its README says.

# isort: split
import keras

from .. import protocol
from . import asked
from .keras_fit import KerasFit, loss, optimizer, versions
from .mesh import FSDP, asked_mesh, state_bytes, steps_of

# As it ships for `CausalTransformer`, whose parts these are.
_LAYOUT = {
    r"^embedding/embeddings$": (None, "model"),
    r"/query_key_value/kernel$": (None, "model"),
    r"/query_key_value/bias$": ("model",),
    r"/attention_output/kernel$": ("model", None),
    r"/hidden/kernel$": (None, "model"),
    r"/hidden/bias$": ("model",),
    r"/feedforward_output/kernel$": ("model", None),
    r"^dense/kernel$": ("model", None),
    r"": (),
}


class MeshFit(KerasFit):
    """A model that is made in the scope."""

    def load(self):
        name, axes = asked_mesh()
        is_fsdp = name == FSDP
        strategy = ks.strategies.get(
            "fsdp" if is_fsdp else "model_parallel",
            mesh=dict(axes),
            layout=None if is_fsdp else _LAYOUT,
        )
        keras.utils.set_random_seed(0)
        self._x, self._y = self._workload.data()
        with strategy.scope():
            model = self._make_model()
            model.compile(optimizer(self._workload), loss(self._workload))
        self._model = model
        return {"parameters": model.count_params(), "versions": versions()}

    def run(self, epochs):
        num = steps_of(self._workload) * self._workload.batch_size
        self._fit(self._x[:num], self._y[:num], epochs=epochs)
        model = self._model
        variables = (*model.variables, *model.optimizer.variables)
        return state_bytes(variable.value for variable in variables)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(MeshFit(contender, workload), steps_of(workload))
