"""A causal Transformer over characters, in three frameworks, for D and E.

Each is written as its users write it: Keras with its own `MultiHeadAttention`,
kerascale with its own blocks, JAX and PyTorch with one product for query, key and
value, PyTorch with its fused attention.
"""

import dataclasses
import functools
import math

import numpy as np

from .workload import Draw, Workload, ones, zeros

VOCABULARY = 65
_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size of a Transformer; `length` is nanoGPT's block size."""

    layers: int
    heads: int
    width: int
    length: int


def workload(
    letter: str,
    title: str,
    shape: Shape,
    *,
    batch_size: int,
    steps_per_epoch: int,
    first_steps: int,
) -> Workload:
    """The workload of a shape, with AdamW as nanoGPT sets it."""
    tokens = batch_size * shape.length
    matrices = 12 * shape.layers * shape.width**2 + shape.width * VOCABULARY
    attention = 12 * shape.layers * shape.length * shape.width
    return Workload(
        letter=letter,
        title=title,
        item="tokens",
        batch_size=batch_size,
        items_per_step=tokens,
        steps_per_epoch=steps_per_epoch,
        first_steps=first_steps,
        chance_loss=math.log(VOCABULARY),
        loss_tolerance=0.05,
        flops_per_step=tokens * (6 * matrices + attention),
        data=functools.partial(characters, batch_size * steps_per_epoch, shape.length),
        weights=functools.partial(weights, shape),
        keras_model=functools.partial(keras_model, shape),
        kerascale_model=functools.partial(kerascale_model, shape),
        kerascale_weights=functools.partial(kerascale_weights, shape),
        jax_logits=functools.partial(jax_logits, shape),
        jax_weights=functools.partial(jax_weights, shape),
        torch_model=functools.partial(torch_model, shape),
        torch_inputs=lambda x: x.astype("int64"),
        beta_2=0.99,
        weight_decay=0.1,
    )


def characters(num: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A Markov chain: mostly one of three successors, now and then any character."""
    random = np.random.default_rng(4)
    successors = random.integers(0, VOCABULARY, (VOCABULARY, 3))
    text = np.empty((num, length + 1), "int32")
    text[:, 0] = random.integers(0, VOCABULARY, num)
    for place in range(length):
        likely = successors[text[:, place], random.integers(0, 3, num)]
        other = random.integers(0, VOCABULARY, num)
        text[:, place + 1] = np.where(random.uniform(size=num) < 0.9, likely, other)
    return text[:, :-1].copy(), text[:, 1:].copy()


def weights(shape: Shape) -> dict[str, np.ndarray]:
    """Initial weights, in the order of the Keras model."""
    draw, width = Draw(0), shape.width
    head = width // shape.heads
    # Keras' own initializer would count the heads as a receptive field.
    glorot = functools.partial(draw.glorot, fans=(width, width))
    found = {
        "tokens": draw.normal(VOCABULARY, width),
        "positions": draw.normal(shape.length, width),
    }
    for layer in range(shape.layers):
        found |= {
            f"{layer}/norm1/gamma": ones(width),
            f"{layer}/norm1/beta": zeros(width),
        }
        for name in ("query", "key", "value"):
            found[f"{layer}/{name}/kernel"] = glorot(width, shape.heads, head)
            found[f"{layer}/{name}/bias"] = zeros(shape.heads, head)
        found |= {
            f"{layer}/output/kernel": glorot(shape.heads, head, width),
            f"{layer}/output/bias": zeros(width),
            f"{layer}/norm2/gamma": ones(width),
            f"{layer}/norm2/beta": zeros(width),
            f"{layer}/up/kernel": draw.glorot(width, 4 * width),
            f"{layer}/up/bias": zeros(4 * width),
            f"{layer}/down/kernel": draw.glorot(4 * width, width),
            f"{layer}/down/bias": zeros(width),
        }
    found |= {
        "norm/gamma": ones(width),
        "norm/beta": zeros(width),
        "logits/kernel": draw.glorot(width, VOCABULARY),
    }
    return found


def keras_model(shape: Shape, keras):
    """Functional, of Keras' own layers."""
    layers = keras.layers

    class Positions(layers.Layer):
        def build(self, input_shape):
            self.embeddings = self.add_weight(shape=input_shape[1:], name="embeddings")

        def call(self, x):
            return x + self.embeddings

    inputs = keras.Input((shape.length,), dtype="int32")
    x = Positions()(layers.Embedding(VOCABULARY, shape.width)(inputs))
    for _ in range(shape.layers):
        y = layers.LayerNormalization(epsilon=_EPSILON)(x)
        attention = layers.MultiHeadAttention(shape.heads, shape.width // shape.heads)
        x = x + attention(y, y, use_causal_mask=True)
        y = layers.LayerNormalization(epsilon=_EPSILON)(x)
        y = layers.Dense(4 * shape.width, activation="gelu")(y)
        x = x + layers.Dense(shape.width)(y)
    x = layers.LayerNormalization(epsilon=_EPSILON)(x)
    return keras.Model(inputs, layers.Dense(VOCABULARY, use_bias=False)(x))


def kerascale_model(shape: Shape, ks, keras):
    """Functional, of kerascale's blocks."""
    layers = keras.layers
    inputs = keras.Input((shape.length,), dtype="int32")
    x = layers.Embedding(VOCABULARY, shape.width)(inputs)
    x = ks.layers.TransformerStack(
        shape.layers, shape.heads, 4 * shape.width, causal=True
    )(x)
    return keras.Model(inputs, ks.layers.Dense(VOCABULARY, use_bias=False)(x))


def kerascale_weights(shape: Shape, w):
    """Query, key and value beside each other in one array of kernels and of biases."""
    found = {}
    for name, value in w.items():
        layer, _, rest = name.partition("/")
        part = rest.removeprefix("query/")
        if rest.startswith(("key/", "value/")):
            continue
        if rest.startswith("query/"):
            parts = [w[f"{layer}/{n}/{part}"] for n in ("query", "key", "value")]
            rows = (shape.width, -1) if part == "kernel" else (-1,)
            value = np.concatenate([p.reshape(rows) for p in parts], axis=-1)
        elif rest == "output/kernel":
            value = value.reshape(shape.width, shape.width)
        found[name] = value
    logits, positions = found.pop("logits/kernel"), found.pop("positions")
    return {**found, "positions": positions, "logits/kernel": logits}


def jax_weights(shape: Shape, w):
    """Query, key and value in one array each of kernels and biases."""
    w = dict(w)
    for layer in range(shape.layers):
        for part in ("kernel", "bias"):
            names = [f"{layer}/{name}/{part}" for name in ("query", "key", "value")]
            w[f"{layer}/projection/{part}"] = np.stack([w.pop(n) for n in names])
    return w


def jax_logits(shape: Shape, jax, w, x, key):
    """Functions of a dict of weights."""
    jnp = jax.numpy

    def norm(x, name):
        mean = x.mean(-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(-1, keepdims=True)
        x = (x - mean) * jax.lax.rsqrt(variance + _EPSILON)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    def attend(x, layer):
        kernel, bias = w[f"{layer}/projection/kernel"], w[f"{layer}/projection/bias"]
        q, k, v = jnp.einsum("btd,zdhk->zbhtk", x, kernel) + bias[:, None, :, None]
        scores = jnp.einsum("bhtk,bhsk->bhts", q, k) / math.sqrt(q.shape[-1])
        causal = jnp.tril(jnp.ones((shape.length, shape.length), bool))
        scores = jax.nn.softmax(jnp.where(causal, scores, -1e9))
        x = jnp.einsum("bhts,bhsk->bthk", scores, v)
        x = jnp.einsum("bthk,hkd->btd", x, w[f"{layer}/output/kernel"])
        return x + w[f"{layer}/output/bias"]

    x = w["tokens"][x] + w["positions"]
    for layer in range(shape.layers):
        x = x + attend(norm(x, f"{layer}/norm1"), layer)
        y = norm(x, f"{layer}/norm2")
        y = y @ w[f"{layer}/up/kernel"] + w[f"{layer}/up/bias"]
        y = jax.nn.gelu(y, approximate=False)
        x = x + y @ w[f"{layer}/down/kernel"] + w[f"{layer}/down/bias"]
    return norm(x, "norm") @ w["logits/kernel"]


def torch_model(shape: Shape, torch, w):
    """As nanoGPT: one projection for query, key and value, and fused attention."""
    nn, width = torch.nn, shape.width

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(width, _EPSILON)
            self.projection = nn.Linear(width, 3 * width)
            self.output = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width, _EPSILON)
            self.up = nn.Linear(width, 4 * width)
            self.down = nn.Linear(4 * width, width)

        def forward(self, x):
            batch, length, _ = x.shape
            parts = self.projection(self.norm1(x)).split(width, dim=2)
            q, k, v = (
                p.view(batch, length, shape.heads, -1).transpose(1, 2) for p in parts
            )
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.output(y.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, width)
            self.positions = nn.Parameter(torch.zeros(shape.length, width))
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.LayerNorm(width, _EPSILON)
            self.logits = nn.Linear(width, VOCABULARY, bias=False)

        def forward(self, x):
            x = self.tokens(x) + self.positions
            for block in self.blocks:
                x = block(x)
            return self.logits(self.norm(x))

    state = {
        "tokens.weight": w["tokens"],
        "positions": w["positions"],
        "norm.weight": w["norm/gamma"],
        "norm.bias": w["norm/beta"],
        "logits.weight": w["logits/kernel"].T,
    }
    for layer in range(shape.layers):
        mine, theirs = f"{layer}", f"blocks.{layer}"
        names = [f"{mine}/{name}" for name in ("query", "key", "value")]
        kernels = [w[f"{name}/kernel"].reshape(width, width).T for name in names]
        biases = [w[f"{name}/bias"].reshape(width) for name in names]
        state[f"{theirs}.projection.weight"] = torch.cat(kernels)
        state[f"{theirs}.projection.bias"] = torch.cat(biases)
        output = w[f"{mine}/output/kernel"].reshape(width, width)
        state[f"{theirs}.output.weight"] = output.T
        state[f"{theirs}.output.bias"] = w[f"{mine}/output/bias"]
        for name in ("norm1", "norm2"):
            state[f"{theirs}.{name}.weight"] = w[f"{mine}/{name}/gamma"]
            state[f"{theirs}.{name}.bias"] = w[f"{mine}/{name}/beta"]
        for name in ("up", "down"):
            state[f"{theirs}.{name}.weight"] = w[f"{mine}/{name}/kernel"].T
            state[f"{theirs}.{name}.bias"] = w[f"{mine}/{name}/bias"]
    model = Transformer()
    model.load_state_dict(state)
    return model
