"""C: sentiment as Keras' tutorials have it, on token ids."""

import math

import numpy as np

from ..workload import Draw, Workload, zeros

BATCH, STEPS, LENGTH = 64, 112, 100
VOCABULARY, WIDTH, UNITS = 10_000, 64, 128


def data():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, (BATCH * STEPS, 1))
    ids = random.integers(0, VOCABULARY // 2, (BATCH * STEPS, LENGTH))
    # Even ids speak for one class, odd ids for the other.
    odd = random.uniform(size=ids.shape) < np.where(labels, 0.7, 0.3)
    return (2 * ids + odd).astype("int32"), labels.astype("float32")


def weights():
    draw = Draw(0)
    forget = zeros(4 * UNITS)
    forget[UNITS : 2 * UNITS] = 1
    return {
        "embeddings": draw.uniform(VOCABULARY, WIDTH),
        "lstm/kernel": draw.glorot(WIDTH, 4 * UNITS),
        "lstm/recurrent_kernel": draw.orthogonal(UNITS, 4 * UNITS),
        "lstm/bias": forget,
        "logits/kernel": draw.glorot(UNITS, 1),
        "logits/bias": zeros(1),
    }


def keras_model(keras):
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, WIDTH),
            keras.layers.LSTM(UNITS),
            keras.layers.Dense(1),
        ]
    )


def kerascale_model(ks, keras):
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, WIDTH),
            ks.layers.LSTM(UNITS),
            ks.layers.Dense(1),
        ]
    )


def jax_logits(jax, w, x, key):
    embedded = w["embeddings"][x]
    # The projection of the inputs in one product, outside the loop.
    inputs = embedded @ w["lstm/kernel"] + w["lstm/bias"]

    def cell(carry, z):
        h, c = carry
        z = z + h @ w["lstm/recurrent_kernel"]
        i, f, g, o = jax.numpy.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
        h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
        return (h, c), None

    zero = jax.numpy.zeros((x.shape[0], UNITS))
    (h, _), _ = jax.lax.scan(cell, (zero, zero), inputs.swapaxes(0, 1))
    return h @ w["logits/kernel"] + w["logits/bias"]


def torch_model(torch, w):
    class Sentiment(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(VOCABULARY, WIDTH)
            self.lstm = torch.nn.LSTM(WIDTH, UNITS, batch_first=True)
            self.logits = torch.nn.Linear(UNITS, 1)
            # PyTorch has a second bias that adds to the first one: it stays zero.
            self.lstm.bias_hh_l0.requires_grad_(False)

        def forward(self, x):
            _, (h, _) = self.lstm(self.embedding(x))
            return self.logits(h[-1])

    model = Sentiment()
    state = {
        "embedding.weight": w["embeddings"],
        "lstm.weight_ih_l0": w["lstm/kernel"].T,
        "lstm.weight_hh_l0": w["lstm/recurrent_kernel"].T,
        "lstm.bias_ih_l0": w["lstm/bias"],
        "lstm.bias_hh_l0": torch.zeros(4 * UNITS),
        "logits.weight": w["logits/kernel"].T,
        "logits.bias": w["logits/bias"],
    }
    model.load_state_dict(state)
    return model


WORKLOAD = Workload(
    letter="C",
    title="embedding 64, LSTM 128 over 100 steps, Adam, batch 64",
    item="examples",
    batch_size=BATCH,
    items_per_step=BATCH,
    steps_per_epoch=STEPS,
    # After some 70 steps the loss jumps: Keras' own is 0.003 or 0.2 at the hundredth,
    # by whether its first weights differ in the sixth digit.
    first_steps=60,
    chance_loss=math.log(2),
    loss_tolerance=0.05,
    flops_per_step=BATCH * LENGTH * 6 * (WIDTH + UNITS) * 4 * UNITS,
    data=data,
    weights=weights,
    keras_model=keras_model,
    kerascale_model=kerascale_model,
    jax_logits=jax_logits,
    torch_model=torch_model,
    torch_inputs=lambda x: x.astype("int64"),
    loss="binary",
)
