"""Many features in one training.

By default these stand for single cases where a cell takes long: what is wrong with one
feature is wrong with them. The single cases then tell which it is.
"""

import keras
import numpy as np
from building import classes, numbers, scaled, trained
from registry import case

import kerascale as ks

BOTH = ("float64", "float32")


@case(
    "dict inputs, frozen layer, BatchNorm, Dropout, weights of outputs and examples, "
    "AdamW, schedule, EMA, clipping, EarlyStopping",
    default=("mirrored:4", "workers:2"),
    precisions=BOTH,
)
def combined_heads():
    inputs = {
        "a": keras.Input((4,), name="a"),
        "b": keras.Input((3, 2), name="b"),
    }
    first = keras.layers.Dense(5, activation="tanh", name="frozen", trainable=False)
    second = keras.layers.Flatten()(inputs["b"])
    y = keras.layers.Concatenate()([first(inputs["a"]), second])
    y = keras.layers.Dense(8, use_bias=False, kernel_regularizer="l2")(y)
    y = keras.layers.BatchNormalization(momentum=0.8)(y)
    y = ks.layers.Dropout(0.3)(keras.layers.Activation("tanh")(y))
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax", name="kind")(y),
        "value": keras.layers.Dense(2, name="value")(y),
    }
    rates = keras.optimizers.schedules.CosineDecay(
        0.0, 60, warmup_target=0.02, warmup_steps=10
    )
    random = np.random.default_rng(3)
    stopping = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    return trained(
        scaled(keras.Model(inputs, outputs)),
        {"a": numbers(145, 4), "b": numbers(145, 3, 2, seed=4)},
        {
            "kind": keras.utils.to_categorical(classes(145), 3),
            "value": numbers(145, 2, seed=2),
        },
        optimizer=keras.optimizers.AdamW(
            rates,
            weight_decay=0.1,
            global_clipnorm=0.5,
            use_ema=True,
            ema_momentum=0.9,
            ema_overwrite_frequency=7,
        ),
        loss={"kind": "categorical_crossentropy", "value": "mse"},
        loss_weights={"kind": 1.5, "value": 0.2},
        metrics={"kind": ["accuracy", keras.metrics.F1Score("macro")], "value": "mae"},
        validation=True,
        fit={
            "sample_weight": {
                "kind": random.uniform(0.1, 3, 145),
                "value": random.uniform(0.1, 3, 145),
            },
            "callbacks": [stopping],
            "validation_freq": 1,
        },
    )


@case("several outputs, Dropout, momentum, schedule: in parts, too", precisions=BOTH)
def combined_outputs():
    inputs = keras.Input((4,))
    y = keras.layers.Dense(7, activation="tanh")(inputs)
    y = ks.layers.Dropout(0.4)(y)
    outputs = [
        keras.layers.Dense(3, activation="softmax", name="kind")(y),
        keras.layers.Dense(2, name="value")(y),
    ]
    rates = keras.optimizers.schedules.CosineDecay(
        0.0, 40, warmup_target=0.05, warmup_steps=10
    )
    return trained(
        scaled(keras.Model(inputs, outputs)),
        numbers(145, 4),
        (classes(145), numbers(145, 2, seed=2)),
        optimizer=keras.optimizers.SGD(rates, momentum=0.9),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.5, 0.2],
        metrics=[["accuracy"], ["mae"]],
        validation=True,
    )


@case(
    "masked LSTM, accumulation, momentum, clipvalue, steps_per_execution=4",
    default=("workers:2",),
    precisions=BOTH,
)
def combined_sequences():
    random = np.random.default_rng(3)
    ids = random.integers(1, 20, (145, 7))
    ids[np.arange(7) >= random.integers(1, 8, (145, 1))] = 0
    x = keras.Input((None,), dtype="int32")
    y = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    y = keras.layers.LSTM(4, return_sequences=True)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(
        scaled(keras.Model(x, y)),
        ids,
        classes(145, 7, seed=5),
        optimizer=keras.optimizers.SGD(
            0.5, momentum=0.9, clipvalue=0.1, gradient_accumulation_steps=3
        ),
        steps_per_execution=4,
        validation=True,
    )
