"""A: the perceptron of every first tutorial."""

import math

from ..workload import Draw, Workload, pictures, zeros

BATCH, STEPS, HIDDEN = 128, 400, 512


def data():
    return pictures(BATCH * STEPS, seed=1)


def weights():
    draw = Draw(0)
    return {
        "hidden/kernel": draw.glorot(784, HIDDEN),
        "hidden/bias": zeros(HIDDEN),
        "logits/kernel": draw.glorot(HIDDEN, 10),
        "logits/bias": zeros(10),
    }


def keras_model(keras):
    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(10),
        ]
    )


def kerascale_model(ks, keras):
    return keras.Sequential(
        [
            keras.Input((784,)),
            ks.layers.Dense(HIDDEN, activation="relu"),
            ks.layers.Dense(10),
        ]
    )


def jax_logits(jax, w, x, key):
    x = jax.nn.relu(x @ w["hidden/kernel"] + w["hidden/bias"])
    return x @ w["logits/kernel"] + w["logits/bias"]


def torch_model(torch, w):
    model = torch.nn.Sequential(
        torch.nn.Linear(784, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10)
    )
    state = {
        "0.weight": w["hidden/kernel"].T,
        "0.bias": w["hidden/bias"],
        "2.weight": w["logits/kernel"].T,
        "2.bias": w["logits/bias"],
    }
    model.load_state_dict(state)
    return model


WORKLOAD = Workload(
    letter="A",
    title="MLP 784-512-10, Adam, batch 128",
    item="examples",
    batch_size=BATCH,
    items_per_step=BATCH,
    steps_per_epoch=STEPS,
    first_steps=100,
    chance_loss=math.log(10),
    loss_tolerance=0.02,
    # The first layer needs no gradient of its inputs.
    flops_per_step=BATCH * (4 * 784 * HIDDEN + 6 * HIDDEN * 10),
    data=data,
    weights=weights,
    keras_model=keras_model,
    kerascale_model=kerascale_model,
    jax_logits=jax_logits,
    torch_model=torch_model,
)
