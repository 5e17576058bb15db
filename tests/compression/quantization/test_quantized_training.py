"""`kerascale train RECIPE --quantize-aware int8`, from the flag to the run folder."""

import json

import keras
import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.compression.quantization import ranges
from kerascale.errors import DamagedRunError, StoppedError

SETTINGS = {
    "epochs": 4,
    "units": (16,),
    "dropout": 0.1,
    "quantize_aware": "int8",
    "execution": "fixed",
}


@pytest.fixture(scope="module")
def quantized(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized") / "run"
    return ks.train(recipe, recipe.Config(**SETTINGS), run_dir=folder)


def test_a_run_has_its_ranges_beside_a_plain_model(quantized, tmp_path):
    found = ranges.read(quantized.path)
    assert len(found.known) == 3
    loaded = keras.saving.load_model(quantized.path / "model.keras")
    assert len(loaded.optimizer.variables) == 1 + 2 * 4
    kernel = loaded.logits.kernel.numpy()
    steps = kernel / (np.abs(kernel).max(axis=0) / 127)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    metrics = quantized.metrics
    assert abs(metrics["quantized_accuracy"] - metrics["accuracy"]) < 0.02
    assert metrics["quantized_loss"] != metrics["loss"]
    # Evaluated again, in floats and in integers.
    run = ks.load_run(quantized.path)
    assert ks.export_saved_model(run, tmp_path / "served").is_dir()


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_bits(recipe, quantized, tmp_path):
    config, folder = recipe.Config(**SETTINGS), tmp_path / "run"
    # In the middle of an epoch that is quantized.
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=folder, callbacks=[StopAfter(100)])
    resumed = ks.train(recipe, config, run_dir=folder)
    assert resumed.history == quantized.history
    assert resumed.metrics == quantized.metrics
    for a, b in zip(resumed.model.weights, quantized.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert ranges.read(folder) == ranges.read(quantized.path)
    # It is finished: typed again, it is evaluated once more.
    again = ks.train(recipe, config, run_dir=folder)
    assert again.metrics == quantized.metrics


def test_a_damaged_file_of_ranges(quantized, tmp_path):
    content = json.loads((quantized.path / "quantization.json").read_text())
    del content["highs"][0]
    (tmp_path / "quantization.json").write_text(json.dumps(content))
    with pytest.raises(DamagedRunError, match="Bring it back, or train again"):
        ranges.read(tmp_path)
    assert ranges.read(tmp_path.parent) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantize_aware": "int4"}, "quantize_aware: expected"),
        ({"quantize_begin": 0.9}, "quantize_begin: expected only with quantize_aware"),
        (
            {"quantize_aware": "int8", "prune": 0.5, "prune_structure": "units"},
            "expected a model that keeps its layers",
        ),
    ],
)
def test_fields_that_contradict_each_other(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        recipe.Config(**values)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["fixed", "one_program", "split"])
@pytest.mark.parametrize(
    "name", ["cnn", "residual", "rnn", "transformer", "language_model"]
)
def test_every_recipe_is_quantized(name, execution, tmp_path):
    more = {"residual": True} if name == "residual" else {}
    name = "cnn" if more else name
    recipe = ks.load_recipe(name)
    fields = {
        **FIELDS[name],
        **more,
        "epochs": 1,
        "max_steps": 12,
        "quantize_aware": "int8",
    }
    if name == "language_model":
        text = tmp_path / "text.txt"
        text.write_text("all replicas reduce a mean of sums. " * 200)
        fields["dataset"] = f"text:{text}"
    config = recipe.Config(**fields, execution=execution)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert abs(run.metrics["quantized_loss"] - run.metrics["loss"]) < 0.2
    assert ranges.read(run.path).known
