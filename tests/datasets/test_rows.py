"""Examples in a user's own `tf.data`, not batches times batch size."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.training.evaluation import evaluate

X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def _rows(count):
    return tf.data.Dataset.from_tensor_slices((X[:count], Y[:count]))


def _uneven():
    """Batches of 32, 3 and 10."""
    places = ((0, 32), (32, 35), (35, 45))

    def batches():
        for begin, end in places:
            yield X[begin:end], Y[begin:end]

    specs = (tf.TensorSpec([None, 5]), tf.TensorSpec([None], tf.int64))
    data = tf.data.Dataset.from_generator(batches, output_signature=specs)
    return data.apply(tf.data.experimental.assert_cardinality(3))


@pytest.mark.parametrize(
    ("batches", "count"),
    [
        (_rows(70).batch(32), 70),
        (_rows(70).batch(32, drop_remainder=True), 64),
        (_rows(70).shuffle(9).batch(32).map(lambda x, y: (x, y)).prefetch(2), 70),
        (_rows(70).batch(32, num_parallel_calls=2).cache(), 70),
        (_rows(70).batch(32).take(1), 32),
        (_rows(70).batch(32).repeat(2), 140),
        (_rows(70).repeat(2).batch(32), 140),
        (_rows(64).batch(32), 64),
    ],
)
def test_examples_are_counted(batches, count):
    source = ks.datasets.from_tf_data(batches).train
    for _ in source.dataset():
        pass
    assert source.num_examples == count


def test_they_are_known_before_a_pass_where_a_data_set_tells():
    batches = _rows(70).batch(32).map(lambda x, y: (x * 2, y)).prefetch(1)
    data = ks.datasets.from_tf_data(batches, _rows(33).batch(32))
    assert data.info.num_examples == {"train": 70, "validation": 33}
    assert data.train.first(1).num_examples == 32


def test_a_run_tells_the_examples_that_it_saw(tmp_path):
    recipe = ks.load_recipe("mlp")
    data = ks.datasets.from_tf_data(
        _rows(70).batch(32), _uneven(), class_names=("no", "yes")
    )
    # Nothing tells how many there are before they are read.
    assert data.info.num_examples == {"train": 70, "validation": 96}
    run = ks.train(
        recipe, recipe.Config(epochs=2), datasets=data, run_dir=tmp_path / "run"
    )
    assert run.metrics["examples"] == 45
    assert run.info.num_examples == {"train": 70, "validation": 45}
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["data"]["num_examples"] == {"train": 70, "validation": 45}
    speed = json.loads((tmp_path / "run/throughput.json").read_text())
    in_a_step = speed["examples_per_second"] * speed["step_seconds"]
    assert in_a_step == pytest.approx(70 / 3)


def test_an_evaluation_without_classes_tells_its_examples():
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    data = ks.datasets.from_tf_data(_uneven())
    assert evaluate(model, data.train, data.info)["examples"] == 45


def test_the_speed_of_an_epoch_is_that_of_the_examples_it_had(tmp_path):
    recipe = ks.load_recipe("mlp")
    data = ks.datasets.from_tf_data(_uneven(), class_names=("no", "yes"))
    folder = tmp_path / "run"
    run = ks.train(recipe, recipe.Config(epochs=1), datasets=data, run_dir=folder)
    assert run.info.num_examples == {"train": 45}
    (epoch,) = [
        record
        for record in map(json.loads, (folder / "metrics.jsonl").open())
        if "kind" not in record
    ]
    # There is no validation: all of its seconds were training.
    seen = epoch["examples_per_second"] * epoch["seconds"]
    assert seen == pytest.approx(45, rel=0.02)
