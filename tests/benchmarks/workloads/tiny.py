"""T: so little arithmetic that what is left is the cost of a step itself."""

import math

import numpy as np

from ..workload import Draw, Workload, zeros

BATCH, STEPS, WIDTH = 8, 1024, 8


def data():
    random = np.random.default_rng(1)
    x = random.standard_normal((BATCH * STEPS, WIDTH), dtype="float32")
    return x, (x[:, 0] > x[:, 1]).astype("int32")


def weights():
    draw = Draw(0)
    return {"kernel": draw.glorot(WIDTH, 2), "bias": zeros(2)}


def keras_model(keras):
    return keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(2)])


def jax_logits(jax, w, x, key):
    return x @ w["kernel"] + w["bias"]


def torch_model(torch, w):
    model = torch.nn.Linear(WIDTH, 2)
    model.load_state_dict({"weight": w["kernel"].T, "bias": w["bias"]})
    return model


WORKLOAD = Workload(
    letter="T",
    title="one dense layer 8-2, Adam, batch 8",
    item="steps",
    batch_size=BATCH,
    items_per_step=1,
    steps_per_epoch=STEPS,
    first_steps=100,
    # That of the initial weights is above it: they are random, and no zeros.
    chance_loss=2 * math.log(2),
    loss_tolerance=0.02,
    flops_per_step=BATCH * 4 * WIDTH * 2,
    data=data,
    weights=weights,
    keras_model=keras_model,
    jax_logits=jax_logits,
    torch_model=torch_model,
)
