"""Short `fit`s, `evaluate` and `predict` beside plain Keras, in turns in one process.

    python -m tests.benchmarks.everyday

The same functional models of the recipes, once as Keras has them and once scaled; a
median of several turns each, and the pace of ours over that of plain Keras.
"""

import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import kerascale as ks

BATCH = 32
TURNS = 9
RECIPES = ("mlp", "cnn", "rnn", "transformer")


def _data(recipe):
    config = recipe.Config(epochs=1)
    datasets = recipe.make_datasets(config)
    batches = list(datasets.train.dataset())
    x, y = (np.concatenate([np.asarray(b[i]) for b in batches]) for i in (0, 1))
    times = -(-100 * BATCH // len(y))
    x = np.tile(x, (times,) + (1,) * (x.ndim - 1))
    return config, datasets, x, np.tile(y, times)


def _functional(recipe, config, datasets):
    inner = recipe.make_model(config, datasets)
    x = keras.Input(datasets.info.input_shape)
    model = keras.Model(x, inner(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _seconds(calls):
    """The median of each call, made in turns."""
    for call in calls * 2:
        call()
    taken = [[] for _ in calls]
    for _ in range(TURNS):
        for times, call in zip(taken, calls, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in taken]


def _tell(what, plain, ours):
    pace = plain / ours
    print(f"| {what} | {plain * 1e3:.1f} | {ours * 1e3:.1f} | {pace:.2f} |", flush=True)


def short_fits():
    """`fit`s of 8 steps."""
    x = np.random.default_rng(0).normal(size=(8 * BATCH, 6)).astype("float32")
    y = x[:, :1].copy()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    models = []
    for scale in (lambda model: model, ks.scale):
        layers = [keras.Input((6,)), keras.layers.Dense(16), keras.layers.Dense(1)]
        model = scale(keras.Sequential(layers))
        model.compile("sgd", "mse")
        models.append(model)
    for what, given in (("arrays", (x, y)), ("tf.data", (data,))):
        calls = [lambda m=m, g=given: m.fit(*g, verbose=0) for m in models]
        _tell(f"`fit` of 8 steps, {what}", *_seconds(calls))


def many_batches(name):
    """`evaluate` and `predict` of a recipe's model, and `predict` after a `fit`."""
    recipe = ks.load_recipe(name)
    config, datasets, x, y = _data(recipe)
    plain = _functional(recipe, config, datasets)
    ours = ks.scale(_functional(recipe, config, datasets))
    for model in (plain, ours):
        model.fit(x[: 4 * BATCH], y[: 4 * BATCH], batch_size=BATCH, verbose=0)
    given = {"batch_size": BATCH, "verbose": 0}
    calls = [lambda m=m: m.evaluate(x, y, **given) for m in (plain, ours)]
    _tell(f"`evaluate`, {name}, {len(y) // BATCH} batches", *_seconds(calls))
    calls = [lambda m=m: m.predict(x, **given) for m in (plain, ours)]
    _tell(f"`predict`, {name}, {len(y) // BATCH} batches", *_seconds(calls))


def main():
    print("| | plain Keras, ms | kerascale, ms | pace |\n| :-- | --: | --: | --: |")
    short_fits()
    for name in RECIPES:
        many_batches(name)


if __name__ == "__main__":
    main()
