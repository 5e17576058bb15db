"""Losses, their weights and reductions, and what adds itself to them."""

import keras
import numpy as np
from building import classes, mlp, numbers, scaled, trained
from keras import ops
from registry import case


def _weights(n=145):
    return np.random.default_rng(3).uniform(0.1, 3, n).astype(keras.config.floatx())


@case("kernel regularizers L1, L2")
def regularizers():
    hidden = keras.layers.Dense(
        8,
        activation="tanh",
        kernel_regularizer=keras.regularizers.L1L2(0.01, 0.05),
        bias_regularizer="l2",
    )
    return trained(mlp(hidden), validation=True)


@case("activity_regularizer")
def activity_regularizer():
    hidden = keras.layers.Dense(
        8, activation="tanh", activity_regularizer=keras.regularizers.L2(0.05)
    )
    return trained(mlp(hidden))


class MeanActivity(keras.layers.Layer):
    """Adds the mean of what it sees to the loss."""

    def call(self, inputs):
        self.add_loss(0.3 * ops.mean(ops.square(inputs)))
        return inputs


@case("add_loss of a mean", default=("mirrored:2",))
def add_loss():
    hidden = keras.layers.Dense(8, activation="tanh")
    return trained(mlp(hidden, MeanActivity()), validation=True)


@case("add_loss before replicas communicate", default=("mirrored:2",))
def add_loss_before_batch_statistics():
    normalization = keras.layers.BatchNormalization(momentum=0.9)
    hidden = keras.layers.Dense(8, activation="tanh")
    return trained(mlp(MeanActivity(), hidden, normalization, MeanActivity()))


@case("class_weight")
def class_weight():
    return trained(
        mlp(), fit={"class_weight": {0: 0.2, 1: 1.0, 2: 5.0}}, validation=True
    )


@case("sample_weight")
def sample_weight():
    return trained(
        mlp(),
        weighted_metrics=["accuracy", "sparse_categorical_crossentropy"],
        fit={"sample_weight": _weights()},
    )


@case("reduction sum")
def reduction_sum():
    loss = keras.losses.SparseCategoricalCrossentropy(reduction="sum")
    return trained(mlp(), loss=loss, optimizer=keras.optimizers.SGD(0.01))


@case("reduction mean_with_sample_weight", default=("mirrored:2",))
def reduction_mean_with_sample_weight():
    loss = keras.losses.SparseCategoricalCrossentropy(
        reduction="mean_with_sample_weight"
    )
    return trained(mlp(), loss=loss, fit={"sample_weight": _weights()}, validation=True)


@case("reduction mean_with_sample_weight, no weights")
def reduction_mean_without_weights():
    loss = keras.losses.SparseCategoricalCrossentropy(
        reduction="mean_with_sample_weight"
    )
    return trained(mlp(), loss=loss)


@case("reduction None")
def reduction_none():
    loss = keras.losses.SparseCategoricalCrossentropy(reduction=None)
    return trained(
        mlp(), loss=loss, optimizer=keras.optimizers.SGD(0.01), validation=True
    )


@case("loss function that returns a mean")
def scalar_loss_function():
    def mean_error(y_true, y_pred):
        return ops.mean(ops.abs(y_pred - y_true) ** 1.5)

    return trained(
        mlp(outputs=2),
        numbers(145, 4),
        numbers(145, 2, seed=2),
        loss=mean_error,
        metrics=["mae"],
        validation=True,
    )


@case("loss function that returns values, of several positions")
def loss_function_of_positions():
    def errors(y_true, y_pred):
        return ops.abs(y_pred - y_true) ** 1.5

    x = keras.Input((5, 2))
    y = keras.layers.Dense(3)(keras.layers.GRU(4, return_sequences=True)(x))
    return trained(
        scaled(keras.Model(x, y)),
        numbers(145, 5, 2),
        numbers(145, 5, 3, seed=2),
        loss=errors,
        metrics=["mse"],
    )


@case("binary and categorical crossentropy, label smoothing, logits")
def label_smoothing():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="tanh")(x)
    outputs = [
        keras.layers.Dense(3, name="kind")(hidden),
        keras.layers.Dense(1, activation="sigmoid", name="yes")(hidden),
    ]
    kinds = keras.utils.to_categorical(classes(145), 3)
    return trained(
        scaled(keras.Model(x, outputs)),
        numbers(145, 4),
        (kinds, classes(145, 1, count=2)),
        loss=[
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            "binary_crossentropy",
        ],
        metrics=[["accuracy"], ["accuracy"]],
    )


def _two_heads():
    x = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="tanh")(x)
    return keras.Model(
        x,
        [
            keras.layers.Dense(3, activation="softmax", name="kind")(hidden),
            keras.layers.Dense(2, name="value")(hidden),
        ],
    )


@case("several outputs, loss_weights as a list")
def several_outputs():
    return trained(
        scaled(_two_heads()),
        numbers(145, 4),
        (classes(145), numbers(145, 2, seed=2)),
        loss=["sparse_categorical_crossentropy", "mse"],
        loss_weights=[0.3, 2.0],
        metrics=[["accuracy"], ["mae"]],
        validation=True,
    )


@case("several outputs as dicts, one masked, loss_weights")
def several_outputs_masked():
    ids, labels = _sentences()
    x = keras.Input((None,), dtype="int32")
    states = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    states = keras.layers.LSTM(4, return_sequences=True)(states)
    outputs = {
        "tags": keras.layers.Dense(3, activation="softmax", name="tags")(states),
        "score": keras.layers.Dense(1, name="score")(
            keras.layers.GlobalAveragePooling1D()(states)
        ),
    }
    return trained(
        scaled(keras.Model(x, outputs)),
        ids,
        {"tags": labels, "score": numbers(145, 1, seed=2)},
        loss={"tags": "sparse_categorical_crossentropy", "score": "mse"},
        loss_weights={"tags": 1.5, "score": 0.2},
        metrics={"tags": ["accuracy"], "score": ["mae"]},
        validation=True,
    )


def _sentences(n=145, length=7):
    """Token ids of unequal length, 0 after the end; and a class for each token."""
    ids = np.random.default_rng(3).integers(1, 20, (n, length))
    lengths = np.random.default_rng(4).integers(1, length + 1, n)
    ids[np.arange(length) >= lengths[:, None]] = 0
    return ids, classes(n, length, seed=5)


def _tagger():
    x = keras.Input((None,), dtype="int32")
    y = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    y = keras.layers.LSTM(4, return_sequences=True)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return scaled(keras.Model(x, y))


@case(
    "masked sequences of unequal length",
    precisions=("float64", "float32"),
)
def masked_sequences():
    ids, labels = _sentences()
    return trained(
        _tagger(),
        ids,
        labels,
        optimizer=keras.optimizers.Adam(0.01, clipnorm=0.1),
        validation=True,
    )


@case("masked positions", default=("mirrored:2",))
def masked_positions():
    ids, labels = _sentences()
    x = keras.Input((None,), dtype="int32")
    y = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), ids, labels)


@case("masked sequences with sample weights")
def masked_sample_weight():
    ids, labels = _sentences()
    return trained(
        _tagger(),
        ids,
        labels,
        weighted_metrics=["accuracy"],
        fit={"sample_weight": _weights()[:, None]},
        validation=True,
    )


@case("masked sequences with weights of positions")
def masked_position_weight():
    ids, labels = _sentences()
    weights = np.random.default_rng(6).uniform(0, 2, ids.shape)
    loss = keras.losses.SparseCategoricalCrossentropy(
        reduction="mean_with_sample_weight"
    )
    return trained(_tagger(), ids, labels, loss=loss, fit={"sample_weight": weights})
