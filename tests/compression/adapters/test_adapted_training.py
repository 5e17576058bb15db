"""`kerascale train RECIPE --init-from RUN --lora-rank`, from the flag to the export."""

import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.compression import adapters
from kerascale.errors import StoppedError

SETTINGS = {"epochs": 2, "lora_rank": 2, "execution": "fixed", "learning_rate": 0.01}


@pytest.fixture(scope="module")
def adapted(recipe, run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted") / "run"
    config = recipe.Config(**SETTINGS, units=run.model.units)
    return ks.train(recipe, config, run_dir=folder, init_from=run.path)


@pytest.mark.slow
def test_a_run_has_its_adapters_apart_and_a_plain_model(adapted, run, tmp_path):
    loaded = ks.load_run(adapted.path)
    assert loaded.model.count_params() == run.model.count_params()
    assert adapted.metrics["parameters"] == run.model.count_params()
    assert adapted.metrics["adapter_bytes"] == (
        (adapted.path / "adapter.npz").stat().st_size
    )
    # On its base it answers as the run's model does.
    base = ks.load_run(run.path).model
    adapters.load(base, adapted.path / "adapter.npz")
    digits = ks.datasets.read("digits").test.features
    np.testing.assert_allclose(base(digits), loaded.model(digits), atol=1e-6)
    pairs = zip(run.model.weights, loaded.model.weights, strict=True)
    changes = [np.array(after) - np.array(before) for before, after in pairs]
    ranks = [np.linalg.matrix_rank(c, 1e-5) for c in changes if c.ndim == 2]
    assert ranks == [2, 2]
    assert not any(c.any() for c in changes if c.ndim < 2)
    ks.export_saved_model(loaded, tmp_path / "served")


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_bits(recipe, run, adapted, tmp_path):
    config, folder = adapted.config, tmp_path / "run"
    with pytest.raises(StoppedError):
        ks.train(
            recipe,
            config,
            run_dir=folder,
            init_from=run.path,
            callbacks=[StopAfter(50)],
        )
    with pytest.raises(ks.RefusedError, match="init_from: expected the one that"):
        ks.train(recipe, config, run_dir=folder, init_from=adapted.path)
    resumed = ks.train(recipe, config, run_dir=folder, init_from=run.path)
    assert resumed.history == adapted.history
    content = [(r.path / "adapter.npz").read_bytes() for r in (resumed, adapted)]
    assert content[0] == content[1]


@pytest.mark.slow
def test_adapters_of_a_run_go_on_in_another(recipe, run, adapted, tmp_path):
    settings = {**SETTINGS, "epochs": 1, "lora_from": str(adapted.path)}
    config = recipe.Config(**settings, units=run.model.units)
    on = ks.train(recipe, config, run_dir=tmp_path / "on", init_from=run.path)
    assert on.history["loss"][0] < adapted.history["loss"][0]
    with pytest.raises(ks.RefusedError, match="expected the model that they were"):
        ks.train(recipe, config, run_dir=tmp_path / "x", init_from=adapted.path)
    three = recipe.Config(**{**settings, "lora_rank": 3}, units=run.model.units)
    with pytest.raises(ks.RefusedError, match="lora_rank: expected that of the adapt"):
        ks.train(recipe, three, run_dir=tmp_path / "x", init_from=run.path)
    assert not (tmp_path / "x").exists()


def test_bad_input_is_refused_before_the_first_step(recipe, run, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(ks.RefusedError, match="Received: no --init-from"):
        ks.train(recipe, recipe.Config(**SETTINGS), run_dir=folder)
    other = recipe.Config(**SETTINGS, units=(7, 7))
    with pytest.raises(ks.RefusedError, match=r"expected shape|not in the model"):
        ks.train(recipe, other, run_dir=folder, init_from=run.path)
    with pytest.raises(ks.RefusedError, match="Received: --init-partial"):
        ks.train(recipe, other, run_dir=folder, init_from=run.path, init_partial=True)
    for values, message in (
        ({"lora_rank": 0}, "lora_rank: expected"),
        ({"lora_alpha": 2.0}, "lora_alpha: expected only with lora_rank"),
        ({"lora_rank": 2, "prune": 0.5}, "prune: expected as it is by default"),
        ({"lora_rank": 2, "max_norm": 1.0}, "max_norm: expected as it is by default"),
    ):
        with pytest.raises(ks.RefusedError, match=message):
            recipe.Config(**values)
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "rnn", "transformer", "language_model"])
def test_every_recipe_has_adapters(name, tmp_path):
    recipe = ks.load_recipe(name)
    fields = {**FIELDS[name], "epochs": 1, "max_steps": 6}
    if name == "language_model":
        text = tmp_path / "text.txt"
        text.write_text("all replicas reduce a mean of sums. " * 200)
        fields["dataset"] = f"text:{text}"
    base = ks.train(recipe, recipe.Config(**fields), run_dir=tmp_path / "base")
    config = recipe.Config(**fields, lora_rank=2)
    run = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=base.path)
    assert run.metrics["adapter_parameters"] > 0
    loaded = ks.load_run(run.path)
    ks.export_saved_model(loaded, tmp_path / "served")
