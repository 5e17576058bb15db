"""A Transformer of 350 million parameters in bfloat16 on an accelerator; prints JSON.

It needs JAX, Keras and NumPy alone, and takes at most 10 minutes:

    python tests/device/model_parallel.py
    XLA_FLAGS=--xla_force_host_platform_device_count=2 JAX_PLATFORMS=cpu \
      python tests/device/model_parallel.py --tiny

kerascale itself reads data by TensorFlow, which a machine with an accelerator may not
have: `step` is the program of its engine on a mesh (`kerascale/engine/mesh/step.py` and
`program.py`), written out here, with its attention, on a Keras model. `by_hand` is the
same arithmetic without Keras, `by_hand_fused` has JAX's own attention in it. With
several devices all of them cut their state over these (`fsdp`). Each has a process
of its own, the same weights and the same batches; their losses are compared.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

PARTS = ("step", "by_hand", "by_hand_fused")
RATE, BETA_1, BETA_2, EPSILON, DECAY = 1e-4, 0.9, 0.99, 1e-7, 0.1
# Of dense bfloat16, as the makers tell them.
PEAK_FLOPS = {
    "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12,
    "V100": 125e12, "T4": 65e12, "v5 lite": 197e12, "v5e": 197e12, "v4": 275e12,
    "v5p": 459e12, "v6": 918e12,
}  # fmt: skip
# Bits of bfloat16, after some steps.
LOSS_TOLERANCE = 0.02
SIZES = {
    False: dict(layers=24, heads=16, width=1024, length=512, words=24_576, batch=16),
    True: dict(layers=2, heads=4, width=64, length=32, words=256, batch=4),
}


class Job:
    """Weights, batches and how they lie.

    Args:
        tiny: Whether to see only that all of it works.
        steps: Steps of a call.
    """

    def __init__(self, tiny, steps):
        self.__dict__.update(SIZES[tiny])
        self.steps = steps
        devices = jax.devices()
        self.mesh = jax.sharding.Mesh(np.array(devices), ("data",))
        self.batch *= len(devices)

    def weights(self):
        """Name -> array, in the order of the Keras model's weights."""
        random, width = np.random.default_rng(0), self.width

        def normal(*shape):
            return 0.02 * random.standard_normal(shape, dtype=np.float32)

        def zeros(*shape):
            return np.zeros(shape, np.float32)

        def ones(*shape):
            return np.ones(shape, np.float32)

        found = {
            "tokens": normal(self.words, width),
            "positions": normal(self.length, width),
        }
        for i in range(self.layers):
            found |= {
                f"{i}/norm1/gamma": ones(width),
                f"{i}/norm1/beta": zeros(width),
                f"{i}/projection/kernel": normal(width, 3 * width),
                f"{i}/projection/bias": zeros(3 * width),
                f"{i}/output/kernel": normal(width, width),
                f"{i}/output/bias": zeros(width),
                f"{i}/norm2/gamma": ones(width),
                f"{i}/norm2/beta": zeros(width),
                f"{i}/up/kernel": normal(width, 4 * width),
                f"{i}/up/bias": zeros(4 * width),
                f"{i}/down/kernel": normal(4 * width, width),
                f"{i}/down/bias": zeros(width),
            }
        found |= {"norm/gamma": ones(width), "norm/beta": zeros(width)}
        return found | {"logits/kernel": normal(width, self.words)}

    def batches(self):
        """Token ids and the next ones, each (steps, batch, length), on the devices."""
        random = np.random.default_rng(1)
        shape = (self.steps, self.batch, self.length + 1)
        ids = random.integers(0, self.words, shape, dtype=np.int32)
        # Half of them follow from the one before: there is something to learn.
        ids[..., 1::2] = (ids[..., :-1:2] * 7 + 1) % self.words
        layout = self.sharding(None, "data")
        return jax.device_put((ids[..., :-1], ids[..., 1:]), layout)

    def sharding(self, *cut):
        return NamedSharding(self.mesh, PartitionSpec(*cut))

    def cut(self, shape):
        """Along the largest dimension that the devices divide."""
        parts = self.mesh.size
        free = [i for i, size in enumerate(shape) if size % parts == 0]
        if parts == 1 or not free:
            return self.sharding()
        chosen = max(free, key=lambda i: shape[i])
        return self.sharding(
            *("data" if i == chosen else None for i in range(len(shape)))
        )

    def flops_per_step(self):
        matrices = 12 * self.layers * self.width**2 + self.width * self.words
        attention = 12 * self.layers * self.length * self.width
        return self.batch * self.length * (6 * matrices + attention)


def step_of_kerascale(job):
    """State, and a function of state and batches, as kerascale's engine has it."""
    model = keras_model(job)
    model.compile(
        keras.optimizers.AdamW(
            RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, weight_decay=DECAY
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.set_weights(list(job.weights().values()))
    model.optimizer.build(model.trainable_variables)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )
    layouts = tuple([job.cut(tuple(v.shape)) for v in group] for group in groups)
    state = jax.device_put(tuple([v.value for v in g] for g in groups), layouts)

    def train(state, x, y):
        trainable, others, of_optimizer = state

        def loss_of(trainable):
            whole = jax.lax.with_sharding_constraint(trainable, job.sharding())
            outputs, new = model.stateless_call(whole, others, x, training=True)
            return model.compute_loss(x, y, outputs), new

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        gradients = jax.lax.with_sharding_constraint(gradients, layouts[0])
        trainable, of_optimizer = model.optimizer.stateless_apply(
            of_optimizer, gradients, trainable
        )
        return (list(trainable), list(others), list(of_optimizer)), loss

    def program(state, x, y):
        def body(carried):
            place, state, losses = carried
            own = [jax.lax.dynamic_index_in_dim(t, place, 0, False) for t in (x, y)]
            own = jax.lax.with_sharding_constraint(own, job.sharding("data"))
            state, loss = train(state, *own)
            return place + 1, state, losses.at[place].set(loss)

        first = (jnp.int32(0), state, jnp.zeros([job.steps], jnp.float32))
        _, state, losses = jax.lax.while_loop(
            lambda carried: carried[0] < job.steps, body, first
        )
        return state, losses

    outputs = (layouts, job.sharding())
    return state, jax.jit(program, donate_argnums=0, out_shardings=outputs)


def keras_model(job):
    """Functional, in `mixed_bfloat16`, with the attention of kerascale's layers."""
    layers, ops = keras.layers, keras.ops

    class Positions(layers.Layer):
        def build(self, shape):
            self.embeddings = self.add_weight(shape=shape[1:], name="embeddings")

        def call(self, x):
            return x + ops.cast(self.embeddings, x.dtype)

    class Attention(layers.Layer):
        """Of what was projected: nothing of its own is trained."""

        def call(self, fused):
            heads = (-1, job.length, job.heads, job.width // job.heads)
            query, key, value = (
                ops.transpose(ops.reshape(part, heads), (0, 2, 1, 3))
                for part in ops.split(fused, 3, axis=-1)
            )
            query = query * heads[-1] ** -0.5
            scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
            scores = ops.cast(scores, "float32")
            place = ops.arange(job.length)
            visible = ops.expand_dims(place, 1) >= ops.expand_dims(place, 0)
            weights = ops.softmax(ops.where(visible, scores, -1e9))
            mixed = ops.matmul(ops.cast(weights, self.compute_dtype), value)
            mixed = ops.transpose(mixed, (0, 2, 1, 3))
            return ops.reshape(mixed, (-1, job.length, job.width))

    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((job.length,), dtype="int32")
    x = Positions()(layers.Embedding(job.words, job.width)(inputs))
    for _ in range(job.layers):
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = Attention()(layers.Dense(3 * job.width)(y))
        x = x + layers.Dense(job.width)(y)
        y = layers.LayerNormalization(epsilon=1e-5)(x)
        y = layers.Dense(4 * job.width, activation="gelu")(y)
        x = x + layers.Dense(job.width)(y)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    logits = layers.Dense(job.words, use_bias=False)(x)
    return keras.Model(inputs, layers.Activation("linear", dtype="float32")(logits))


def step_by_hand(job, fused):
    """The same, by functions of a dict of weights."""
    weights = job.weights()
    cuts = {name: job.cut(array.shape) for name, array in weights.items()}
    weights = {n: jax.device_put(a, cuts[n]) for n, a in weights.items()}
    moments = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    layouts = (cuts, cuts, cuts, job.sharding())
    state = jax.device_put((weights, *moments, jnp.int32(0)), layouts)

    def train(state, batch):
        weights, means, squares, count = state
        batch = jax.lax.with_sharding_constraint(batch, job.sharding("data"))

        def loss_of(weights):
            whole = jax.lax.with_sharding_constraint(weights, job.sharding())
            logits = logits_by_hand(job, whole, batch[0], fused)
            chosen = jnp.take_along_axis(
                jax.nn.log_softmax(logits), batch[1][..., None], -1
            )
            return -chosen.mean()

        loss, gradients = jax.value_and_grad(loss_of)(weights)
        gradients = jax.lax.with_sharding_constraint(gradients, cuts)
        count = count + 1
        power = count.astype(jnp.float32)
        scaled = RATE * jnp.sqrt(1 - BETA_2**power) / (1 - BETA_1**power)
        means = jax.tree.map(lambda m, g: m + (1 - BETA_1) * (g - m), means, gradients)
        squares = jax.tree.map(
            lambda s, g: s + (1 - BETA_2) * (g * g - s), squares, gradients
        )
        weights = jax.tree.map(
            lambda w, m, s: (
                (1 - RATE * DECAY) * w - scaled * m / (jnp.sqrt(s) + EPSILON)
            ),
            weights,
            means,
            squares,
        )
        return (weights, means, squares, count), loss

    def program(state, x, y):
        return jax.lax.scan(train, state, (x, y))

    outputs = (layouts, job.sharding())
    return state, jax.jit(program, donate_argnums=0, out_shardings=outputs)


def logits_by_hand(job, w, ids, fused):
    low = {name: value.astype(jnp.bfloat16) for name, value in w.items()}

    def norm(x, name):
        x = x.astype(jnp.float32)
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        x = (x - mean) * jax.lax.rsqrt(variance + 1e-5)
        return (x * w[f"{name}/gamma"] + w[f"{name}/beta"]).astype(jnp.bfloat16)

    def dense(x, name):
        return x @ low[f"{name}/kernel"] + low[f"{name}/bias"]

    def attend(fused_projection):
        shape = (*ids.shape, job.heads, job.width // job.heads)
        q, k, v = (p.reshape(shape) for p in jnp.split(fused_projection, 3, -1))
        if fused:
            mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            return mixed.reshape(*ids.shape, job.width)
        scores = jnp.einsum("bthk,bshk->bhts", q * shape[-1] ** -0.5, k)
        causal = jnp.tril(jnp.ones((job.length, job.length), bool))
        scores = jnp.where(causal, scores.astype(jnp.float32), -1e9)
        mixed = jax.nn.softmax(scores).astype(jnp.bfloat16)
        mixed = jnp.einsum("bhts,bshk->bthk", mixed, v)
        return mixed.reshape(*ids.shape, job.width)

    x = low["tokens"][ids] + low["positions"]
    for i in range(job.layers):
        y = attend(dense(norm(x, f"{i}/norm1"), f"{i}/projection"))
        x = x + dense(y, f"{i}/output")
        y = dense(norm(x, f"{i}/norm2"), f"{i}/up")
        x = x + dense(jax.nn.gelu(y, approximate=False), f"{i}/down")
    return (norm(x, "norm") @ low["logits/kernel"]).astype(jnp.float32)


def run_part(part, tiny, steps, rounds):
    """Figures of one of `PARTS`."""
    job = Job(tiny, steps)
    began = time.perf_counter()
    if part == "step":
        state, program = step_of_kerascale(job)
    else:
        state, program = step_by_hand(job, fused=part.endswith("fused"))
    x, y = job.batches()
    state, losses = program(state, x, y)
    first = float(losses[-1])
    if not math.isfinite(first):
        raise SystemExit(f"{part}: the loss is {first}")
    started = time.perf_counter() - began
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        state, losses = program(state, x, y)
        jax.block_until_ready((state, losses))
        seconds.append((time.perf_counter() - began) / steps)
    device = jax.devices()[0]
    flops = job.flops_per_step() / statistics.median(seconds) / job.mesh.size
    peak = next((p for n, p in PEAK_FLOPS.items() if n in device.device_kind), None)
    memory = device.memory_stats() or {}
    return {
        "seconds_per_step": statistics.median(seconds),
        "slowest_seconds_per_step": max(seconds),
        "tokens_per_second": job.batch * job.length / statistics.median(seconds),
        "tflops_per_device": flops / 1e12,
        "mfu": None if peak is None else flops / peak,
        "peak_memory_bytes": memory.get("peak_bytes_in_use"),
        "start_seconds": started,
        "loss": first,
        "last_loss": float(losses[-1]),
        "parameters": sum(math.prod(a.shape) for a in job.weights().values()),
        "device": device.device_kind,
        "devices": job.mesh.size,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="see that it works")
    parser.add_argument("--steps", type=int, default=16, help="of a call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit-seconds", type=float, default=570.0)
    parser.add_argument("--part", choices=PARTS, help="this one, in this process")
    options = parser.parse_args()
    if options.part:
        found = run_part(options.part, options.tiny, options.steps, options.rounds)
        print(json.dumps(found))
        return 0
    ends = time.monotonic() + options.limit_seconds
    result = {"jax": jax.__version__, "keras": keras.__version__, "parts": {}}
    for part in PARTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=max(1.0, ends - time.monotonic()),
                check=True,
            )
            result["parts"][part] = json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            result["parts"][part] = {"failed": "no time was left"}
        except subprocess.CalledProcessError as error:
            result["parts"][part] = {"failed": error.stderr[-1000:]}
    done = {n: p for n, p in result["parts"].items() if "failed" not in p}
    if "step" in done:
        own = done["step"]
        result["pace_of"] = {
            name: other["seconds_per_step"] / own["seconds_per_step"]
            for name, other in done.items()
            if name != "step"
        }
        result["losses_agree"] = all(
            abs(other["loss"] - own["loss"]) <= LOSS_TOLERANCE * own["loss"]
            for other in done.values()
        )
    print(json.dumps(result))
    return int(len(done) < len(PARTS) or not result["losses_agree"])


if __name__ == "__main__":
    sys.exit(main())
