"""P: ten million parameters, whose state takes time to be saved."""

import itertools
import math

import numpy as np

from ..workload import Draw, Workload, zeros

BATCH, STEPS = 128, 250
WIDTHS = (1024, 2048, 2048, 2048, 10)


def data():
    random = np.random.default_rng(5)
    x = random.standard_normal((BATCH * STEPS, WIDTHS[0]), dtype="float32")
    return x, x[:, : WIDTHS[-1]].argmax(1).astype("int32")


def weights():
    draw = Draw(0)
    found = {}
    for number, (fan_in, fan_out) in enumerate(itertools.pairwise(WIDTHS)):
        found[f"{number}/kernel"] = draw.glorot(fan_in, fan_out)
        found[f"{number}/bias"] = zeros(fan_out)
    return found


def keras_model(keras):
    hidden = [keras.layers.Dense(units, activation="relu") for units in WIDTHS[1:-1]]
    logits = keras.layers.Dense(WIDTHS[-1])
    return keras.Sequential([keras.Input((WIDTHS[0],)), *hidden, logits])


def jax_logits(jax, w, x, key):
    last = len(WIDTHS) - 2
    for number in range(last + 1):
        x = x @ w[f"{number}/kernel"] + w[f"{number}/bias"]
        if number < last:
            x = jax.nn.relu(x)
    return x


def torch_model(torch, w):
    layers, state = [], {}
    for number, (fan_in, fan_out) in enumerate(itertools.pairwise(WIDTHS)):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        state[f"{2 * number}.weight"] = w[f"{number}/kernel"].T
        state[f"{2 * number}.bias"] = w[f"{number}/bias"]
    model = torch.nn.Sequential(*layers[:-1])
    model.load_state_dict(state)
    return model


WORKLOAD = Workload(
    letter="P",
    title="MLP 1024-2048-2048-2048-10, Adam, batch 128",
    item="examples",
    batch_size=BATCH,
    items_per_step=BATCH,
    steps_per_epoch=STEPS,
    first_steps=20,
    chance_loss=math.log(10),
    loss_tolerance=0.05,
    flops_per_step=BATCH
    * (
        4 * WIDTHS[0] * WIDTHS[1]
        + 6 * sum(a * b for a, b in itertools.pairwise(WIDTHS[1:]))
    ),
    data=data,
    weights=weights,
    keras_model=keras_model,
    jax_logits=jax_logits,
    torch_model=torch_model,
)
