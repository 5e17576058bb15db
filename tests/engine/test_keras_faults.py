"""Faults of Keras 3.15.1: plain Keras has them, and a scaled model has not.

Where plain Keras has one no more its workaround may go: the class in
`kerascale/engine/compat/keras_faults.py`, and its test here.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks

MAY_GO = "Keras has mended it: the workaround may go"
IMAGES = np.random.default_rng(0).normal(size=(6, 8, 10, 1)).astype("float32")
LABELS = IMAGES.mean(axis=(1, 2))


def _loaded(model, path):
    """As somebody without kerascale has it."""
    model.save(path)
    loaded = keras.models.load_model(path)
    assert not isinstance(loaded, ks.Model)
    return loaded


def test_huber_is_saved_with_its_delta(tmp_path):
    assert "delta" not in keras.losses.Huber(delta=2.0).get_config(), MAY_GO
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    losses = {"sequential": keras.losses.Huber(delta=2.0)}
    model.compile("sgd", [keras.losses.Huber(delta=3.0)])
    ks.scale(model)
    x, y = np.ones((4, 2)), np.full((4, 1), 9.0)
    loaded = _loaded(model, tmp_path / "model.keras")
    expected = model.evaluate(x, y, verbose=0)
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(expected)
    assert float(keras.losses.Huber(delta=3.0)(y, model(x))) == pytest.approx(expected)
    assert losses  # Of others nothing is changed.
    assert "delta" not in losses["sequential"].get_config()


def test_r2_score_counts_rows():
    y = np.random.default_rng(1).normal(size=(9, 3)).astype("float32")
    plain = keras.metrics.R2Score(num_regressors=4)
    plain.update_state(y, y + 0.1)
    assert float(plain.num_samples) == 27, MAY_GO
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(0.9)])
    model.compile(loss="mse", metrics=[keras.metrics.R2Score(num_regressors=4)])
    found = ks.scale(model).evaluate(y, y, batch_size=5, verbose=0, return_dict=True)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    score = 1 - np.mean((0.01 * y**2).sum(axis=0) / total)
    expected = 1 - (1 - score) * 8 / 4
    assert found["r2_score"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", [keras.layers.Resizing, keras.layers.CenterCrop])
def test_what_is_resized_is_not_taken_for_training(kind, tmp_path):
    def made():
        keras.utils.set_random_seed(0)
        layers = [kind(4, 5), keras.layers.BatchNormalization()]
        return keras.Sequential([keras.Input((8, 10, 1)), *layers])

    plain, model = made(), ks.scale(made())
    means = [m.layers[1].moving_mean for m in (plain, model)]
    for each in (plain, model):
        each(IMAGES)
    changed = [bool(np.any(mean.numpy())) for mean in means]
    assert changed[0], MAY_GO
    assert not changed[1]
    np.testing.assert_allclose(model(IMAGES), model(IMAGES, training=False))
    model(IMAGES, training=True)
    assert np.any(means[1].numpy())
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    served = served.serve(IMAGES)
    np.testing.assert_allclose(served, model.predict(IMAGES, verbose=0), rtol=1e-5)


def test_random_crop_crops_in_validation(capfd):
    def made():
        crop = keras.layers.RandomCrop(4, 4, name="crop")
        layers = [crop, keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((8, 10, 1)), *layers])
        model.compile("sgd", "mse")
        return model

    data = {"x": IMAGES, "y": LABELS, "validation_data": (IMAGES, LABELS)}
    said = ""
    try:
        made().fit(**data, verbose=0)
    except ValueError as error:
        said = str(error)
    assert "incompatible with the layer" in said, MAY_GO
    model = ks.scale(made())
    history = model.fit(**data, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    assert "note: crop: RandomCrop crops the centre" in capfd.readouterr().err
    # The largest window of the same shape, resized.
    centre = keras.ops.image.resize(IMAGES[:, :, 1:9], (4, 4))
    expected = model.layers[2](keras.ops.reshape(centre, (6, 16)))
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, rtol=1e-5)
