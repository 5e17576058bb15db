"""What is exported is what was trained, and a server never sees half of it."""

import os
import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))


def _versions(base):
    """The folders in a folder: beside them are only the server's files."""
    return sorted(path.name for path in base.iterdir() if path.is_dir())


def test_versions_are_numbered_upward(model, tmp_path):
    (tmp_path / "not-a-version").mkdir()
    assert ks.export_saved_model(model, tmp_path).name == "1"
    (tmp_path / "7").mkdir()
    assert ks.export_saved_model(model, tmp_path).name == "8"
    assert _versions(tmp_path) == ["1", "7", "8", "not-a-version"]
    # Not the closed mode of a temporary folder: a server runs as another user.
    assert (tmp_path / "8").stat().st_mode == (tmp_path / "7").stat().st_mode


def test_what_a_killed_export_left_is_swept(model, tmp_path):
    old, new = tmp_path / "writing-old", tmp_path / "writing-new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    ks.export_saved_model(model, tmp_path)
    assert _versions(tmp_path) == ["1", "writing-new"]


def test_concurrent_exports_get_versions_of_their_own(model, tmp_path):
    versions = []
    threads = [
        threading.Thread(
            target=lambda: versions.append(ks.export_saved_model(model, tmp_path))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(v.name for v in versions) == ["1", "2", "3"]
    assert all((v / "saved_model.pb").exists() for v in versions)


def test_names_and_free_batch_dimension(model, tmp_path):
    version = ks.export_saved_model(
        model,
        tmp_path,
        input_signature=tf.TensorSpec((None, 4), tf.float32, name="measurements"),
        output_name="scores",
    )
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    x = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    for size in (1, 7):
        answer = serve(measurements=tf.constant(x[:size]))["scores"]
        np.testing.assert_allclose(answer, model(x[:size]), atol=1e-6)


@pytest.mark.slow
def test_saved_model_cli_shows_the_names(model, tmp_path):
    version = ks.export_saved_model(model, tmp_path)
    shown = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "saved_model_cli"),
            "show", "--dir", version, "--tag_set", "serve",
            "--signature_def", "serving_default",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout  # fmt: skip
    assert "inputs['features']" in shown
    assert "outputs['probabilities']" in shown
    assert "shape: (-1, 4)" in shown
    assert "tensorflow/serving/predict" in shown


def test_destination_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ks.RefusedError, match="folder that can be written"):
        ks.export_saved_model(model, tmp_path / "file" / "served")


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_subclassed_models(tmp_path, dtype):
    keras.utils.set_random_seed(0)
    if dtype == "float32":
        # Built with a fixed length, which the model does not need.
        model = ks.models.RNN(3, units=(4,))
        x = np.random.default_rng(0).normal(size=(7, 5, 2)).astype("float32")
        name = "features"
    else:
        model = ks.models.Transformer(3, vocabulary_size=9, max_length=6, width=8)
        x = np.random.default_rng(0).integers(1, 9, (7, 6)).astype("int32")
        name = "tokens"
    model.build((None, *x.shape[1:]) if dtype == "float32" else (None, None))
    version = ks.export_saved_model(model, tmp_path)
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    # Batch and sequence are free.
    for batch, steps in ((1, 2), (7, 5)):
        part = x[:batch, :steps]
        answer = serve(**{name: tf.constant(part)})["probabilities"]
        np.testing.assert_allclose(answer, model(part), atol=1e-6)
