"""Where batches come from: a user's tf.data, arrays in an order of ours."""

import keras
import numpy as np
import tensorflow as tf
from building import BATCH, classes, mlp, numbers, result, scaled, trained
from registry import case


def _compiled(model):
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@case("tf.data, seeded shuffle", default=("workers:2",))
def tf_data():
    x, y = numbers(145, 4), classes(145)
    data = tf.data.Dataset.from_tensor_slices((x, y))
    data = data.shuffle(145, seed=3).batch(BATCH)
    model = _compiled(mlp())
    history = model.fit(data, epochs=5, validation_data=(x[:33], y[:33]), verbose=0)
    return result(model, history, x)


@case("tf.data, drop_remainder, sample weights", examples=144)
def tf_data_drop_remainder():
    x, y = numbers(145, 4), classes(145)
    weights = np.random.default_rng(3).uniform(0.1, 3, 145)
    data = tf.data.Dataset.from_tensor_slices((x, y, weights))
    data = data.batch(BATCH, drop_remainder=True)
    model = _compiled(mlp())
    history = model.fit(data, epochs=5, validation_data=data, verbose=0)
    return result(model, history, x)


@case("tf.data, padded_batch of token ids")
def tf_data_padded():
    random = np.random.default_rng(3)
    sentences = [random.integers(1, 20, random.integers(1, 9)) for _ in range(145)]
    ids = tf.data.Dataset.from_tensor_slices(tf.ragged.constant(sentences))
    data = tf.data.Dataset.zip(
        ids.map(lambda t: t), tf.data.Dataset.from_tensor_slices(classes(145))
    )
    data = data.shuffle(145, seed=5).padded_batch(BATCH)
    x = keras.Input((None,), dtype="int64")
    y = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    y = keras.layers.GRU(4)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    model = _compiled(scaled(keras.Model(x, y)))
    history = model.fit(data, epochs=5, validation_data=data, verbose=0)
    return result(model, history)


def _sentences():
    """Batches of padded token ids: no two need have one shape."""
    random = np.random.default_rng(3)
    sentences = [random.integers(1, 20, random.integers(1, 9)) for _ in range(145)]
    ids = tf.data.Dataset.from_tensor_slices(tf.ragged.constant(sentences))
    data = tf.data.Dataset.zip(
        ids.map(lambda t: t), tf.data.Dataset.from_tensor_slices(classes(145))
    )
    return data.padded_batch(BATCH)


def _trained_four_at_once(data):
    x = keras.Input((None,), dtype="int64")
    y = keras.layers.Embedding(20, 5, mask_zero=True)(x)
    y = keras.layers.GlobalAveragePooling1D()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    model = scaled(keras.Model(x, y))
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=4,
    )
    history = model.fit(data, epochs=3, validation_data=data, verbose=0)
    return result(model, history)


@case("tf.data, padded_batch, four steps an execution", default=("mirrored:2",))
def tf_data_padded_four_at_once():
    return _trained_four_at_once(_sentences())


@case(
    "tf.data of unknown length, four steps an execution",
    default=("mirrored:2",),
    strategies=("mirrored:2", "mirrored:4"),
)
def tf_data_unknown_four_at_once():
    return _trained_four_at_once(_sentences().filter(lambda *_: True))


@case("arrays, shuffled", default=("mirrored:2",))
def arrays_shuffled():
    return trained(mlp(), optimizer=keras.optimizers.Adam(0.01), fit={"shuffle": True})


@case("fit called twice")
def fit_twice():
    model = _compiled(mlp())
    x, y = numbers(145, 4), classes(145)
    first = model.fit(x, y, BATCH, epochs=3, verbose=0)
    second = model.fit(x, y, BATCH, epochs=2, verbose=0)
    more = {f"first/{k}": np.array(v) for k, v in first.history.items()}
    return result(model, second, x) | more


@case("validation_split", examples=145)
def validation_split():
    return trained(mlp(), n=181, fit={"validation_split": 0.2, "shuffle": True})


class Batches(keras.utils.PyDataset):
    """Batches of a user's own class."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return numbers(145, 4)[rows], classes(145)[rows]


@case("keras.utils.PyDataset", strategies=("mirrored:2", "mirrored:4"))
def py_dataset():
    model = _compiled(mlp())
    history = model.fit(Batches(), epochs=5, shuffle=False, verbose=0)
    return result(model, history)


@case("train_on_batch, test_on_batch, predict_on_batch", default=("mirrored:2",))
def on_batch():
    model = _compiled(mlp())
    found = {}
    for step in range(50):
        size = (16, 7, 1)[step % 3]
        x, y = numbers(size, 4, seed=step), classes(size, seed=step)
        values = model.train_on_batch(x, y, return_dict=step % 2 == 0)
        if step % 10 == 0:
            found[f"train/{step}"] = np.array([*values.values()])
    x, y = numbers(7, 4), classes(7)
    found["test"] = np.array(model.test_on_batch(x, y))
    found["weighted"] = np.array(
        model.train_on_batch(x, y, sample_weight=np.arange(7.0))
    )
    found["predictions"] = model.predict_on_batch(x)
    return result(model) | found


@case(
    "evaluate and predict of 37 examples, batches of 8",
    default=("mirrored:4",),
    examples=37,
)
def evaluate_and_predict():
    model = _compiled(mlp())
    x, y = numbers(37, 4), classes(37)
    values = model.evaluate(x, y, batch_size=8, verbose=0)
    data = tf.data.Dataset.from_tensor_slices(x).batch(8)
    return {
        "evaluate": np.array(values),
        "evaluate/steps": np.array(
            model.evaluate(x, y, batch_size=8, steps=2, verbose=0)
        ),
        "predictions": model.predict(x, batch_size=8, verbose=0),
        "predictions/data": model.predict(data, verbose=0),
    }
