"""Fine-tuning a backbone out of a preset folder of KerasHub."""

import json
import sys

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.errors import RefusedError
from kerascale.runs import presets


def test_a_folder_with_another_configuration_is_no_preset(tmp_path):
    assert not presets.is_preset(tmp_path)
    (tmp_path / "config.json").write_text('{"recipe": "mlp", "fields": {}}')
    assert not presets.is_preset(tmp_path)
    config = {"module": "keras_hub.src.x", "registered_name": "keras_hub>X"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert presets.is_preset(tmp_path)


def test_without_keras_hub_it_is_said_what_to_install(tmp_path, monkeypatch):
    config = {"module": "keras_hub.src.x", "registered_name": "keras_hub>X"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(RefusedError, match=r"Run: pip install 'kerascale\[hub\]'"):
        ks.load_backbone(str(tmp_path), input_shape=(32, 32, 3))


@pytest.mark.slow
def test_a_preset_is_fine_tuned_with_its_own_preprocessing(tmp_path):
    hub = pytest.importorskip("keras_hub")
    backbone = hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    folder = tmp_path / "preset"
    backbone.save_to_preset(str(folder))
    converter = hub.layers.ImageConverter(scale=[0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0])
    converter.save_to_preset(str(folder))
    found = ks.load_backbone(str(folder), input_shape=(16, 16, 3))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    ours = found.model(found.preprocessing(pixels), training=False)
    theirs = backbone(converter(pixels), training=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)

    recipe = ks.load_recipe("finetune")
    config = recipe.Config(backbone=str(folder), epochs=2, frozen_epochs=1)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    again = ks.load_run(tmp_path / "run")
    assert again.metrics == run.metrics
    assert isinstance(again.model, keras.Model)
    ks.export_saved_model(again, tmp_path / "served")
