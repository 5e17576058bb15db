"""JAX by hand on a mesh: `jax.jit` with `NamedSharding`, as its users write it.

With `fsdp` weights are put together where they are used and gradients are summed into
their parts, which is said by constraints; else weights lie as Megatron cuts them.
"""

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from .. import protocol
from . import asked
from .jax_loop import JaxLoop
from .mesh import FSDP, asked_mesh, largest_axis, state_bytes, steps_of

# By the end of a name; the rest is whole.
_MEGATRON = {
    "tokens": (None, "model"),
    "projection/kernel": (None, None, "model", None),
    "projection/bias": (None, "model", None),
    "output/kernel": ("model", None, None),
    "up/kernel": (None, "model"),
    "up/bias": ("model",),
    "down/kernel": ("model", None),
    "logits/kernel": ("model", None),
}


class MeshLoop(JaxLoop):
    """The loop of one device, whose state and batches are cut."""

    def load(self):
        answer = super().load()
        self._name, axes = asked_mesh()
        self._mesh = jax.make_mesh(
            tuple(axes.values()),
            tuple(axes),
            axis_types=(jax.sharding.AxisType.Auto,) * len(axes),
        )
        weights = self._state[0]
        self._cuts = {
            name: self._sharding(*self._cut(name, array.shape))
            for name, array in weights.items()
        }
        shardings = (self._cuts, self._cuts, self._cuts, self._sharding())
        self._state = jax.device_put(self._state, shardings)
        self._data = jax.device_put(self._data, self._sharding())
        self._train = jax.jit(self._chunk, donate_argnums=0, out_shardings=shardings)
        return answer

    def run(self, epochs):
        num = steps_of(self._workload) * self._workload.batch_size
        for _ in range(epochs):
            self._key, key = jax.random.split(self._key)
            self._steps(jax.random.permutation(key, num))
        return state_bytes(jax.tree.leaves(self._state))

    def _sharding(self, *cut):
        return NamedSharding(self._mesh, PartitionSpec(*cut))

    def _cut(self, name, shape):
        if self._name == FSDP:
            return largest_axis(shape, self._mesh.size)
        return next((c for end, c in _MEGATRON.items() if name.endswith(end)), ())

    def _step(self, data, state, inputs):
        indices, key = inputs
        x, y = (
            jax.lax.with_sharding_constraint(array[indices], self._sharding("data"))
            for array in data
        )

        def objective(weights):
            if self._name == FSDP:
                weights = jax.lax.with_sharding_constraint(weights, self._sharding())
            logits = self._workload.jax_logits(jax, weights, x, key)
            return jnp.mean(self._losses(logits, y))

        gradients = jax.grad(objective)(state[0])
        gradients = jax.lax.with_sharding_constraint(gradients, self._cuts)
        return self._adam(state, gradients), None


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(MeshLoop(contender, workload), steps_of(workload))
