"""Every recipe's model, on its own data, for a few steps of a small configuration."""

import dataclasses
import random

import building
import keras
import numpy as np
from building import Snapshot, result, scaled
from registry import case

import kerascale as ks

BOTH = ("float64", "float32")
OPTIONS = {"precisions": BOTH, "examples": 229, "in_scope": False}


def _trained(name, **settings):
    recipe = ks.load_recipe(name)
    config = recipe.Config(epochs=1, batch_size=28, **settings)
    datasets = recipe.make_datasets(config)
    # A few batches, the last of which does not divide.
    train = dataclasses.replace(datasets.train, num_examples=8 * 28 + 5)
    validation = dataclasses.replace(datasets.validation, num_examples=33)
    # What reading the data drew must not decide the weights.
    keras.utils.set_random_seed(7)
    with building.strategy.scope():
        model = scaled(recipe.make_model(config, datasets))
    snapshot = Snapshot()
    history = model.fit(
        train,
        epochs=2,
        validation_data=validation.for_evaluation(),
        callbacks=[snapshot],
        verbose=0,
    )
    x, y = next(iter(datasets.train.for_evaluation().dataset()))
    return result(model, history, np.array(x), np.array(y)) | snapshot.weights


@case("recipe mlp", default=("workers:2",), **OPTIONS)
def recipe_mlp():
    return _trained("mlp", units=(16,), l2=1e-3)


@case("recipe cnn", default=("mirrored:2",), **OPTIONS)
def recipe_cnn():
    return _trained("cnn", filters=(4, 6), dense_units=8)


# In float32 the mean before the shortcut's normalisation is next to zero, and rounding
# is 1e-4 of it: so much differs on one device, too, if the pictures differ in the last
# digit.
@case(
    "recipe cnn, residual",
    **{**OPTIONS, "precisions": ("float64",)},
)
def recipe_cnn_residual():
    # Before a normalisation the gradient of a kernel for one channel is next to zero:
    # Adam would make steps of its rounding.
    return _trained(
        "cnn",
        filters=(4, 6),
        residual=True,
        dense_units=None,
        optimizer="momentum",
        learning_rate=0.01,
    )


@case("recipe rnn", **OPTIONS)
def recipe_rnn():
    return _trained("rnn", units=(6,))


@case("recipe transformer", **OPTIONS)
def recipe_transformer():
    return _trained("transformer", num_layers=1, num_heads=2, width=8)


@case("recipe language_model", **OPTIONS)
def recipe_language_model():
    words = ["one", "loss", "all", "replicas", "reduce", "a", "mean", "of", "sums."]
    source = random.Random(3)
    path = building.output / f"text.{building.worker}.txt"
    path.write_text(" ".join(source.choice(words) for _ in range(3000)))
    return _trained(
        "language_model",
        dataset=f"text:{path}",
        max_length=12,
        num_layers=1,
        num_heads=2,
        width=8,
    )
