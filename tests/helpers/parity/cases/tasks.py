"""Every task: its loss, its head, and its metrics over uneven batches."""

import os
import tempfile

import building
import keras
import numpy as np
from building import EXAMPLES, Snapshot, classes, numbers, result, scaled
from registry import case

import kerascale as ks

OPTIONS = {"in_scope": False}


def _trained(task, x, y, recipe="mlp", **settings):
    recipe = ks.load_recipe(recipe)
    config = recipe.Config(epochs=2, batch_size=16, task=task, **settings)
    held = (x[:33], y[:33])
    datasets = ks.datasets.from_arrays(x, y, config, validation=held, test=held)
    assert datasets.info.task == task
    return _fitted(recipe, config, datasets)


def _fitted(recipe, config, datasets):
    keras.utils.set_random_seed(7)
    with building.strategy.scope():
        model = scaled(recipe.make_model(config, datasets))
    snapshot = Snapshot()
    history = model.fit(
        datasets.train,
        epochs=2,
        validation_data=datasets.validation.for_evaluation(),
        callbacks=[snapshot],
        verbose=0,
    )
    x, y = next(iter(datasets.train.for_evaluation().dataset()))
    return result(model, history, np.array(x), np.array(y)) | snapshot.weights


def _x():
    return numbers(EXAMPLES, 6).astype("float32")


@case("task binary: AUC", **OPTIONS)
def task_binary():
    return _trained("binary", _x(), classes(EXAMPLES, count=2), units=(8,))


@case("task multilabel: AUC of each label", **OPTIONS)
def task_multilabel():
    y = (numbers(EXAMPLES, 3, seed=4) > 0.3).astype("int64")
    return _trained("multilabel", _x(), y, units=(8,))


@case("task regression, two targets: MAE, RMSE, R2", default=("workers:2",), **OPTIONS)
def task_regression():
    y = numbers(EXAMPLES, 2, seed=5) * [3, 400] + [50, -2000]
    return _trained("regression", _x(), y, units=(8,))


@case("task regression by members, counts", default=("mirrored:2",), **OPTIONS)
def task_regression_by_members():
    y = np.floor(np.exp(numbers(EXAMPLES, 2, seed=5))) * [1, 400]
    return _trained(
        "regression", _x(), y, units=(8,), members=3, regression_loss="poisson"
    )


@case("task classification by members", **OPTIONS)
def task_classification_by_members():
    y = classes(EXAMPLES, count=3)
    return _trained("classification", _x(), y, units=(8,), members=3)


@case("task ordinal: cumulative logits", default=("mirrored:2",), **OPTIONS)
def task_ordinal():
    return _trained("ordinal", _x(), classes(EXAMPLES, count=4), units=(8,))


@case("task regression of a Transformer", **OPTIONS)
def task_regression_of_a_transformer():
    y = numbers(EXAMPLES, seed=5)
    return _trained(
        "regression", _x(), y, "transformer", num_layers=1, width=8, num_heads=2
    )


@case("a table with words and gaps", **OPTIONS)
def table_with_words():
    random = np.random.default_rng(2)
    kinds = random.choice(["a", "b", ""], EXAMPLES)
    rows = [
        f"{random.normal():.3f},{kind},2020-01-{i % 28 + 1:02d},{random.normal():.4f}"
        for i, kind in enumerate(kinds)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(["size,kind,day,price", *rows]) + "\n")
        recipe = ks.load_recipe("mlp")
        config = recipe.Config(
            epochs=2, batch_size=16, dataset=f"csv:{path}", label="price", units=(8,)
        )
        return _fitted(recipe, config, recipe.make_datasets(config))
