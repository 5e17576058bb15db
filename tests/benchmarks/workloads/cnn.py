"""B: the convolutional network of Keras' MNIST example."""

import math

from ..workload import Draw, Workload, pictures, zeros

BATCH, STEPS, RATE = 128, 48, 0.25
_SIDE, _FLAT = 12, 12 * 12 * 64


def data():
    x, y = pictures(BATCH * STEPS, seed=2)
    return x.reshape(-1, 28, 28, 1), y


def weights():
    draw = Draw(0)
    return {
        "conv1/kernel": draw.glorot(3, 3, 1, 32),
        "conv1/bias": zeros(32),
        "conv2/kernel": draw.glorot(3, 3, 32, 64),
        "conv2/bias": zeros(64),
        "hidden/kernel": draw.glorot(_FLAT, 128),
        "hidden/bias": zeros(128),
        "logits/kernel": draw.glorot(128, 10),
        "logits/bias": zeros(10),
    }


def keras_model(keras):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(RATE),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def jax_logits(jax, w, x, key):
    for name in ("conv1", "conv2"):
        x = jax.lax.conv_general_dilated(
            x,
            w[f"{name}/kernel"],
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + w[f"{name}/bias"])
    x = jax.lax.reduce_window(
        x, -jax.numpy.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
    )
    if key is not None:
        kept = jax.random.bernoulli(key, 1 - RATE, x.shape)
        x = jax.numpy.where(kept, x / (1 - RATE), 0)
    x = x.reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ w["hidden/kernel"] + w["hidden/bias"])
    return x @ w["logits/kernel"] + w["logits/bias"]


def torch_model(torch, w):
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(RATE),
        nn.Flatten(),
        nn.Linear(_FLAT, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    # PyTorch flattens channels first.
    hidden = w["hidden/kernel"].reshape(_SIDE, _SIDE, 64, 128)
    state = {
        "0.weight": w["conv1/kernel"].permute(3, 2, 0, 1),
        "0.bias": w["conv1/bias"],
        "2.weight": w["conv2/kernel"].permute(3, 2, 0, 1),
        "2.bias": w["conv2/bias"],
        "7.weight": hidden.permute(3, 2, 0, 1).reshape(128, _FLAT),
        "7.bias": w["hidden/bias"],
        "9.weight": w["logits/kernel"].T,
        "9.bias": w["logits/bias"],
    }
    model.load_state_dict(state)
    return model


WORKLOAD = Workload(
    letter="B",
    title="CNN, two convolutions, dropout, Adam, batch 128",
    item="examples",
    batch_size=BATCH,
    items_per_step=BATCH,
    steps_per_epoch=STEPS,
    first_steps=48,
    chance_loss=math.log(10),
    # Each framework draws dropout of its own.
    loss_tolerance=0.5,
    flops_per_step=BATCH
    * (4 * 26 * 26 * 9 * 32 + 6 * 24 * 24 * 9 * 32 * 64 + 6 * (_FLAT * 128 + 128 * 10)),
    data=data,
    weights=weights,
    keras_model=keras_model,
    jax_logits=jax_logits,
    torch_model=torch_model,
    torch_inputs=lambda x: x.transpose(0, 3, 1, 2),
)
