"""JAX by hand: Adam of one's own, and many steps in one compiled `lax.scan`."""

import functools

import jax
import jax.numpy as jnp

from .. import protocol
from ..workload import BETA_1, EPSILON, Workload
from . import asked

# Steps in one compiled loop, or one step a call.
_LONGEST_CHUNK = {"jax-scan": 100, "jax-step": 1}


class JaxLoop:
    """Weights and Adam's moments as trees; data on the device."""

    def __init__(self, contender: str, workload: Workload) -> None:
        self._longest = _LONGEST_CHUNK[contender]
        self._workload = workload
        self._key = jax.random.key(0)
        # One compiled loop serves each length; a chunk's state is given back to it.
        self._train = jax.jit(self._chunk, donate_argnums=0)

    def load(self):
        x, y = self._workload.data()
        self._data = jnp.asarray(x), jnp.asarray(y)
        arrays = self._workload.jax_weights(self._workload.weights())
        weights = jax.tree.map(jnp.asarray, arrays)
        moments = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
        self._state = (weights, *moments, jnp.zeros((), jnp.int32))
        parameters = sum(array.size for array in arrays.values())
        return {"parameters": parameters, "versions": {"jax": jax.__version__}}

    def first(self, steps):
        self._steps(jnp.arange(steps * self._workload.batch_size))

    def loss(self, num):
        x, y = (array[:num] for array in self._data)
        logits = jax.jit(lambda w, x: self._workload.jax_logits(jax, w, x, None))
        return jnp.mean(self._losses(logits(self._state[0], x), y))

    def run(self, epochs):
        for _ in range(epochs):
            self._key, key = jax.random.split(self._key)
            self._steps(jax.random.permutation(key, len(self._data[0])))
        return {}

    def multiply(self):
        side = protocol.PEAK_SIDE
        a = jnp.ones((side, side))
        return lambda: jnp.matmul(a, a).block_until_ready()

    def _steps(self, order):
        batches = order.reshape(-1, self._workload.batch_size)
        chunk = chunk_length(len(batches), self._longest)
        for start in range(0, len(batches), chunk):
            self._key, key = jax.random.split(self._key)
            self._state = self._train(
                self._state, self._data, batches[start : start + chunk], key
            )
        jax.block_until_ready(self._state)

    def _chunk(self, state, data, batches, key):
        keys = jax.random.split(key, len(batches))
        if self._longest == 1:
            return self._step(data, state, (batches[0], keys[0]))[0]
        step = functools.partial(self._step, data)
        return jax.lax.scan(step, state, (batches, keys))[0]

    def _step(self, data, state, inputs):
        indices, key = inputs
        x, y = (array[indices] for array in data)

        def objective(weights):
            logits = self._workload.jax_logits(jax, weights, x, key)
            return jnp.mean(self._losses(logits, y))

        return self._adam(state, jax.grad(objective)(state[0])), None

    def _losses(self, logits, y):
        if self._workload.loss == "binary":
            return jax.nn.softplus(logits) - logits * y
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1)
        return -chosen

    def _adam(self, state, gradients):
        weights, means, squares, count = state
        count = count + 1
        beta_1, beta_2 = BETA_1, self._workload.beta_2
        rate = self._workload.learning_rate
        power = count.astype(jnp.float32)
        scaled = rate * jnp.sqrt(1 - beta_2**power) / (1 - beta_1**power)
        kept = 1 - rate * (self._workload.weight_decay or 0)
        mean = functools.partial(_average, beta_1)
        means = jax.tree.map(mean, means, gradients)
        square = functools.partial(_average, beta_2)
        squares = jax.tree.map(square, squares, jax.tree.map(jnp.square, gradients))
        weights = jax.tree.map(
            lambda w, m, s: kept * w - scaled * m / (jnp.sqrt(s) + EPSILON),
            weights,
            means,
            squares,
        )
        return weights, means, squares, count


def _average(beta, old, new):
    return beta * old + (1 - beta) * new


def chunk_length(num: int, longest: int) -> int:
    """The longest chunk that divides `num`, so that one program is compiled."""
    return max(n for n in range(1, min(num, longest) + 1) if num % n == 0)


if __name__ == "__main__":
    contender, workload = asked()
    protocol.serve(JaxLoop(contender, workload), workload.steps_per_epoch)
