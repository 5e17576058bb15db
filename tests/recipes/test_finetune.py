"""Fine-tuning, with a backbone that was trained on the other half of the classes."""

import inspect

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets.sources import embedded
from kerascale.errors import RefusedError
from kerascale.models.fine_tuning import ChannelAffine, Features
from kerascale.runs import backbones


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """Digits 0 to 4, and 5 to 9."""
    folder, raw = tmp_path_factory.mktemp("halves"), embedded.digits()
    for name, first in (("low", 0), ("high", 5)):
        arrays = {}
        for split in ("train", "test"):
            examples = getattr(raw, split)
            own = (examples.labels >= first) & (examples.labels < first + 5)
            arrays[f"x_{split}"] = examples.features[own]
            arrays[f"y_{split}"] = examples.labels[own] - first
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def pretrained(halves):
    cnn = ks.load_recipe("cnn")
    config = cnn.Config(
        dataset=f"npz:{halves}/low.npz", epochs=3, filters=(8, 16), dense_units=32
    )
    return ks.train(cnn, config, run_dir=halves / "pretrained")


@pytest.fixture(scope="module")
def finetune():
    return ks.load_recipe("finetune")


def _config(finetune, halves, **fields):
    own = {"frozen_epochs": 2, "learning_rate": 1e-2, "execution": "fixed", **fields}
    return finetune.Config(
        dataset=f"npz:{halves}/high.npz", backbone=str(halves / "pretrained"), **own
    )


def _backbone(run):
    (features,) = [layer for layer in run.model.layers if isinstance(layer, Features)]
    return [np.asarray(w) for w in features.model.weights if "logits" not in w.path]


@pytest.fixture(scope="module")
def frozen(finetune, pretrained, halves):
    """Stopped when the head alone has been trained."""
    config = _config(finetune, halves, epochs=2)
    return ks.train(finetune, config, run_dir=halves / "tuned")


@pytest.fixture(scope="module")
def tuned(finetune, frozen, halves):
    """The same, which goes on across the switch."""
    config = _config(finetune, halves, epochs=4)
    return ks.train(finetune, config, run_dir=halves / "tuned")


def test_the_backbone_is_still_until_the_switch(pretrained, frozen, tuned):
    theirs = [np.asarray(w) for w in pretrained.model.weights if "logits" not in w.path]
    for ours, before in zip(_backbone(frozen), theirs, strict=True):
        np.testing.assert_array_equal(ours, before)
    moved = [
        not np.array_equal(ours, before)
        for ours, before in zip(_backbone(tuned), theirs, strict=True)
        if ours.ndim > 1
    ]
    assert all(moved)
    assert tuned.metrics["accuracy"] > 0.85
    rates = ks.load_run(tuned.path).history
    assert rates["val_loss"][-1] < rates["val_loss"][1]


def test_across_the_switch_it_goes_on_to_the_last_bit(finetune, tuned, halves):
    config = _config(finetune, halves, epochs=4)
    whole = ks.train(finetune, config, run_dir=halves / "whole")
    assert whole.history == tuned.history
    for one, other in zip(whole.model.weights, tuned.model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_the_run_loads_and_answers_the_same(tuned):
    x = np.random.default_rng(0).integers(0, 16, (4, 8, 8, 1)).astype(np.uint8)
    again = ks.load_run(tuned.path).model
    np.testing.assert_array_equal(
        again.predict_on_batch(x), tuned.model.predict_on_batch(x)
    )


def test_a_functional_model_loses_its_head(tmp_path):
    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="relu", name="kept")(inputs)
    keras.Model(inputs, keras.layers.Dense(3)(x)).save(tmp_path / "model.keras")
    path = str(tmp_path / "model.keras")
    found = ks.load_backbone(path, input_shape=(6,))
    assert found.model.output_shape == (None, 5)
    with pytest.raises(RefusedError, match=r"examples of shape \(6,\)"):
        ks.load_backbone(path, input_shape=(7,))
    with pytest.raises(RefusedError, match="which is not there"):
        ks.load_backbone(str(tmp_path / "other.keras"), input_shape=(6,))


def test_preprocessing_is_that_of_each_application():
    image = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    tried = 0
    for _, module in inspect.getmembers(keras.applications, inspect.ismodule):
        if not hasattr(module, "preprocess_input"):
            continue
        expected = module.preprocess_input(image.copy(), data_format="channels_last")
        layer = backbones._preprocessing(module)
        found = image if layer is None else np.asarray(layer(image))
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
        if layer is not None:
            again = ChannelAffine.from_config(layer.get_config())
            np.testing.assert_array_equal(np.asarray(again(image)), found)
        tried += 1
    assert tried > 10


def test_without_a_network_imagenet_is_refused(monkeypatch):
    def fail(**kwargs):
        raise Exception("URL fetch failure on https://... : None -- no network")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fail)
    with pytest.raises(RefusedError, match="or a network to get it from"):
        ks.load_backbone("MobileNetV2", weights="imagenet", input_shape=(32, 32, 3))
    with pytest.raises(RefusedError, match="Did you mean MobileNetV2"):
        ks.load_backbone("MobileNetV22", input_shape=(32, 32, 3))


def test_fields_that_are_wrong_together(finetune):
    with pytest.raises(RefusedError, match="weights: expected with a backbone"):
        finetune.Config(weights="imagenet")
    with pytest.raises(RefusedError, match="moves frozen weights"):
        finetune.Config(backbone="run", optimizer="adamw")
