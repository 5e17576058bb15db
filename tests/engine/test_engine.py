"""`Model` and `scale`: plain Keras on one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks


def _functional():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(3, activation="softmax")(inputs)
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    "make",
    [
        _functional,
        lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]),
    ],
    ids=["functional", "sequential"],
)
def test_scaled_model_trains_bit_for_bit_as_plain_keras(make):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = np.arange(64) % 3

    def weights(scaled):
        keras.utils.set_random_seed(0)
        model = make()
        if scaled:
            assert ks.scale(model) is model
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
        return model.get_weights()

    for ours, theirs in zip(weights(True), weights(False), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_scaled_model_saves_as_plain_keras(tmp_path, run_python):
    model = ks.scale(_functional())
    model.save(tmp_path / "model.keras")
    run_python(
        "import sys; sys.modules['kerascale'] = None; import keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert type(model).__module__.startswith('keras.')",
        tmp_path / "model.keras",
        imported=True,
    )


def test_scale_twice_is_once():
    model = ks.scale(_functional())
    before = type(model)
    assert type(ks.scale(model)) is before


def test_scale_refuses_what_is_no_model():
    with pytest.raises(ks.RefusedError, match=r"expected a keras\.Model.*model=3"):
        ks.scale(3)


def test_functional_construction_is_redirected():
    inputs = keras.Input((4,))
    with pytest.raises(ks.RefusedError, match=r"kerascale\.scale\(keras\.Model"):
        ks.Model(inputs, keras.layers.Dense(1)(inputs))

    class Later(ks.Model):
        def call(self, x):
            return x

    with pytest.raises(ks.RefusedError, match=r"Received: Later\(inputs, outputs\)"):
        Later(inputs=inputs, outputs=keras.layers.Dense(1)(inputs))
    # And no class was changed by the attempt.
    assert Later()(np.zeros((1, 2))).shape == (1, 2)
    assert ks.models.MLP(3)(np.zeros((1, 2))).shape == (1, 3)


def test_arrays_are_shuffled_by_the_seed_alone():
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    y = np.arange(64) % 3

    def weights(seed):
        keras.utils.set_random_seed(0)
        model = ks.scale(_functional())
        model.compile("adam", "sparse_categorical_crossentropy")
        keras.utils.set_random_seed(seed)
        model.fit(x, y, epochs=2, verbose=0)
        return np.concatenate([w.ravel() for w in model.get_weights()])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


@pytest.mark.parametrize("steps", [1, 3, 50])
def test_an_epoch_ends_where_it_should(steps):
    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)

    data = tf.data.Dataset.from_tensor_slices((np.ones((50, 4)), np.zeros(50)))
    model = ks.scale(_functional())
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=steps)
    model.fit(
        data.repeat().batch(5),
        epochs=2,
        steps_per_epoch=7,
        verbose=0,
        callbacks=[Count()],
    )
    assert int(model.optimizer.iterations.numpy()) == 14
    assert len(seen) == 2 * -(-7 // steps)


def test_generators_train_on_one_device():
    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return np.full((2, 4), i, "float32"), np.zeros(2)

    model = ks.scale(_functional())
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(Pairs(), epochs=2, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 10


def test_train_step_of_ones_own_may_update_twice_on_one_device():
    class Twice(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            for _ in range(2):
                with tf.GradientTape() as tape:
                    loss = self.compute_loss(y=data[1], y_pred=self(data[0]))
                gradients = tape.gradient(loss, self.trainable_weights)
                self.optimizer.apply(gradients, self.trainable_weights)
            return {"mine": loss}

    model = Twice()
    model.compile("sgd", "mse")
    history = model.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=4, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 4
    assert "mine" in history.history
