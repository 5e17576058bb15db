"""Distillation, in the step or beside it; pruning, quantization, adapters."""

import keras
import numpy as np
from building import BATCH, EXAMPLES, classes, mlp, numbers, scaled, trained
from registry import case

import kerascale as ks
from kerascale.compression.adapters import adapt
from kerascale.compression.distillation import Hint, Teacher, distill
from kerascale.compression.distillation.distill import with_answers
from kerascale.compression.pruning import Pruning, cut
from kerascale.compression.quantization import QuantizeAware
from kerascale.layers import Dropout, TransformerStack


def _teacher():
    """Wide, with statistics that inference must use and keep."""
    x = keras.Input((4,))
    hidden = keras.layers.Dense(16, activation="tanh", kernel_initializer=_drawn(1))(x)
    hidden = keras.layers.BatchNormalization(moving_mean_initializer=_drawn(2))(hidden)
    out = keras.layers.Dense(3, activation="softmax", kernel_initializer=_drawn(3))
    return keras.Model(x, out(hidden))


def _drawn(seed):
    return keras.initializers.RandomNormal(0.0, 1.0, seed=seed)


def _student():
    hidden = keras.layers.Dense(
        8, activation="tanh", kernel_regularizer="l2", activity_regularizer="l1"
    )
    return mlp(hidden, keras.layers.BatchNormalization())


# In the step of replicas, of which one has an empty slice of the last batch.
@case("distillation: two teachers in the step", default=("mirrored:2",))
def distillation():
    return trained(distill(_student(), [_teacher(), _teacher()]), validation=True)


@case("distillation: answers beside the labels, weighted rows")
def distillation_with_answers():
    x, y = numbers(EXAMPLES, 4), classes(EXAMPLES)
    answers = np.array(Teacher(_teacher())(x))
    fit = {
        "sample_weight": np.linspace(0.5, 2.0, EXAMPLES),
        "validation_data": (x[:33], y[:33]),
        "validation_freq": 5,
    }
    student = distill(_student(), None, temperature=2.0, alpha=0.4)
    return trained(student, x, with_answers(y, answers), fit=fit)


@case("distillation: features through a projection, attention maps of pictures")
def distillation_with_hints():
    x = numbers(EXAMPLES, 4)
    hints = [
        Hint("features", "picture", "picture", 0.5),
        Hint("attention", "first", "first", 2.0),
    ]
    student, teacher = _pictures(3, "zeros"), _pictures(6, _drawn(1))
    distill(student, teacher, hints=hints, inputs=x[:2])
    return trained(student, x, validation=True)


def _pictures(filters, bias):
    x = keras.Input((4,))
    y = keras.layers.Reshape((2, 2, 1))(x)
    options = {"padding": "same", "activation": "tanh", "bias_initializer": bias}
    y = keras.layers.Conv2D(filters, 2, name="first", **options)(y)
    y = keras.layers.Conv2D(filters, 1, name="picture", **options)(y)
    y = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(y))
    return scaled(keras.Model(x, y))


@case(
    "adapters on dense, einsum, embedding and GRU; statistics that stay; Adam",
    default=("mirrored:2",),
)
def adapters():
    x = keras.Input((4,))
    places = keras.ops.cast(keras.ops.minimum(keras.ops.abs(x) * 2, 6), "int32")
    y = keras.layers.Embedding(7, 6)(places)
    y = ks.layers.Dense(8, activation="gelu")(y)
    y = keras.layers.EinsumDense("abc,cd->abd", (None, 5))(y)
    y = ks.layers.GRU(4)(y)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    model = adapt(scaled(keras.Model(x, y)), 2, alpha=3.0)
    return trained(model, optimizer=keras.optimizers.Adam(0.01), validation=True)


def _pruned(model, expected, **arguments):
    """Trains it, and holds it to zeros that it must have."""
    found = trained(model, **arguments)
    zeros = sum(int((np.array(v) == 0).sum()) for v in model.trainable_weights)
    assert zeros == expected, zeros
    return found


@case("pruning: 80 % of the weights, momentum, weight decay", default=("mirrored:2",))
def pruning():
    return _pruned(
        mlp(),
        int(0.8 * 4 * 8) + int(0.8 * 8 * 3),
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.01),
        fit={"callbacks": [Pruning(0.8, begin=5, end=32)]},
    )


@case(
    "pruning: half of the units, cut out; batch normalization, Adam, max_norm",
    default=("mirrored:2",),
)
def pruning_of_units():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, use_bias=False, kernel_constraint="max_norm"),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("tanh"),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    # Kernel, gamma and beta of four units; kernel and bias of three.
    model = scaled(model)
    found = _pruned(
        model,
        4 * (4 + 2) + 3 * (8 + 1),
        optimizer=keras.optimizers.Adam(0.01),
        fit={"callbacks": [Pruning(0.5, begin=3, end=30, structure="units")]},
    )
    predicted = cut(model).predict(numbers(37, 4), batch_size=BATCH, verbose=0)
    return {**found, "predictions/cut": predicted}


@case("pruning: two of four weights, AdamW, accumulation of two micro-batches")
def pruning_of_fours():
    return _pruned(
        mlp(),
        2 * 8 + 4 * 3,
        optimizer=keras.optimizers.AdamW(0.01, gradient_accumulation_steps=2),
        fit={"callbacks": [Pruning(0.5, begin=3, end=20, structure="2:4")]},
    )


def _quantized(model, *inputs, begin=20, **arguments):
    """Trains it, with the ranges that it learned and the answers in integers."""
    aware = QuantizeAware(begin)
    fit = {"callbacks": [aware]}
    found = trained(model, *inputs, fit=fit, validation=True, **arguments)
    ranges = aware.ranges
    x = numbers(37, 4) if not inputs else inputs[0][:37]
    with ranges.applied(model):
        predicted = model.predict(x, batch_size=BATCH, verbose=0)
    limits = np.array([ranges.lows, ranges.highs])
    return {**found, "predictions/int8": predicted, "predictions/ranges": limits}


# Validated while steps are not quantized yet, and when they are.
@case(
    "quantization in training: dense layers, dropout, Adam, clipping",
    default=("mirrored:2",),
)
def quantization():
    model = mlp(keras.layers.Dense(8, activation="relu"), Dropout(0.3, seed=1))
    return _quantized(model, optimizer=keras.optimizers.Adam(0.01, global_clipnorm=1.0))


@case("quantization in training: convolutions, accumulation of two micro-batches")
def quantization_of_convolutions():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(4, 3, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=2)
    inputs = numbers(EXAMPLES, 8, 8, 2), classes(EXAMPLES)
    return _quantized(scaled(model), *inputs, begin=10, optimizer=optimizer)


@case("quantization in training: a residual block, batch normalization folded")
def quantization_of_a_residual_block():
    x = keras.Input((4,))
    y = ks.layers.ResidualBlock(3)(keras.layers.Reshape((2, 2, 1))(x))
    y = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(y))
    return _quantized(scaled(keras.Model(x, y)))


@case("quantization in training: a Transformer over tokens, AdamW, pruned")
def quantization_of_a_transformer():
    ids = keras.Input((6,), dtype="int32")
    y = keras.layers.Embedding(11, 8)(ids)
    y = TransformerStack(1, 2, 16, causal=True, max_length=6)(y)
    y = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(y))
    x = np.random.default_rng(0).integers(0, 11, (EXAMPLES, 6)).astype("int32")
    aware = QuantizeAware(20)
    fit = {"callbacks": [aware, Pruning(0.5, begin=3, end=30)]}
    optimizer = keras.optimizers.AdamW(0.01)
    model = scaled(keras.Model(ids, y))
    found = trained(model, x, classes(EXAMPLES), fit=fit, optimizer=optimizer)
    limits = np.array([aware.ranges.lows, aware.ranges.highs])
    return {**found, "predictions/ranges": limits}


@case("pruning: half of the attention heads, cut out; AdamW")
def pruning_of_heads():
    model = ks.models.Transformer(3, width=8, num_heads=4, num_layers=1)
    model.build((None, 4))
    found = trained(
        scaled(model),
        optimizer=keras.optimizers.AdamW(0.01),
        fit={"callbacks": [Pruning(0.5, begin=3, end=30, structure="heads")]},
    )
    output = np.array(model.stack.blocks[0].attention.attention_output.kernel)
    assert (output == 0).all(axis=1).sum() == 4  # Two of four heads of size 2.
    predicted = cut(model).predict(numbers(37, 4), batch_size=BATCH, verbose=0)
    return {**found, "predictions/cut": predicted}
