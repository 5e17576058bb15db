"""`kerascale train RECIPE --prune`, from the flag to the export."""

import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.errors import StoppedError

SETTINGS = {
    "epochs": 4,
    "units": (16,),
    "prune": 0.8,
    "prune_begin": 0.1,
    "prune_end": 0.6,
    "execution": "fixed",
    "optimizer": "adamw",
}


@pytest.fixture(scope="module")
def pruned(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pruned") / "run"
    return ks.train(recipe, recipe.Config(**SETTINGS), run_dir=folder)


def _zeros(model):
    kernels = [w for w in model.weights if w.name == "kernel"]
    return [float((w.numpy() == 0).mean()) for w in kernels]


def test_a_pruned_run_is_saved_and_exported_with_its_zeros(pruned, tmp_path):
    assert pruned.metrics["sparsity"] == pytest.approx(0.8, abs=0.01)
    loaded = ks.load_run(pruned.path)
    assert _zeros(loaded.model) == pytest.approx([0.8, 0.8], abs=0.01)
    # Nothing of the masks is left in what a plain Keras would load.
    assert len(loaded.model.optimizer.variables) == 1 + 2 * 4
    ks.export_saved_model(loaded, tmp_path / "served")


def test_the_best_weights_are_pruned_ones(recipe, tmp_path):
    """The validation loss is best before much is gone: these do not count."""
    config = recipe.Config(
        **{**SETTINGS, "prune": 0.95, "early_stopping_patience": 1, "epochs": 5}
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    losses = run.history["val_loss"]
    assert min(losses[:2]) < min(losses[2:])
    assert run.metrics["sparsity"] == pytest.approx(0.95, abs=0.01)


def test_a_stopped_pruning_goes_on_to_the_same_bits(recipe, pruned, tmp_path):
    config, folder = recipe.Config(**SETTINGS), tmp_path / "run"
    # In the middle of an epoch, and of the schedule.
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=folder, callbacks=[StopAfter(53)])
    resumed = ks.train(recipe, config, run_dir=folder)
    assert resumed.history == pruned.history
    for a, b in zip(resumed.model.weights, pruned.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_units_are_cut_out_of_the_run(recipe, run, tmp_path):
    """With a teacher, too: both change one training."""
    settings = {**SETTINGS, "prune": 0.5, "prune_structure": "units"}
    config = recipe.Config(**settings, teacher=(str(run.path),))
    small = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert small.metrics["parameters_before"] == run.model.count_params()
    assert small.metrics["parameters"] == ks.load_run(small.path).model.count_params()
    assert small.model.units == (8,)
    assert 0 < small.metrics["teacher_agreement"] <= 1
    # It is finished: typed again, it is evaluated once more.
    again = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert again.metrics == small.metrics


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prune": 1.0}, "prune: expected a finite number > 0 and < 1"),
        ({"prune_end": 0.9}, "prune_end: expected only with prune"),
        ({"prune": 0.5, "prune_begin": 0.7}, "prune_begin: expected less than"),
        ({"prune": 0.8, "prune_structure": "2:4"}, "expected 0.5 with prune_structure"),
    ],
)
def test_fields_that_contradict_each_other(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        recipe.Config(**values)


def test_units_of_other_models_are_refused_before_the_first_step(tmp_path):
    for name, structure, message in (
        ("rnn", "units", "expected a chain of layers"),
        ("mlp", "heads", "expected a kerascale.models.Transformer or"),
    ):
        recipe = ks.load_recipe(name)
        config = recipe.Config(
            **FIELDS[name], prune=0.5, prune_structure=structure, epochs=1
        )
        with pytest.raises(ks.RefusedError, match=message):
            ks.train(recipe, config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_heads_are_cut_out_of_the_run(tmp_path):
    recipe = ks.load_recipe("transformer")
    sizes = {**FIELDS["transformer"], "num_heads": 4, "epochs": 2}
    fields = {**sizes, "prune": 0.5, "prune_structure": "heads", "execution": "fixed"}
    run = ks.train(recipe, recipe.Config(**fields), run_dir=tmp_path / "run")
    loaded = ks.load_run(run.path)
    attention = loaded.model.stack.blocks[0].attention
    assert (attention.num_heads, attention.head_size) == (2, 2)
    assert run.metrics["parameters"] == loaded.model.count_params()
    # Half of the kernels of 8 x 24 and 8 x 8, and of the bias of 24.
    lost = run.metrics["parameters_before"] - run.metrics["parameters"]
    assert lost == (8 * 24 + 8 * 8 + 24) // 2
    ks.export_saved_model(loaded, tmp_path / "served")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "rnn", "transformer", "language_model"])
def test_every_recipe_is_pruned(name, tmp_path):
    recipe = ks.load_recipe(name)
    fields = {**FIELDS[name], "epochs": 1, "max_steps": 6, "prune": 0.5}
    if name == "language_model":
        text = tmp_path / "text.txt"
        text.write_text("all replicas reduce a mean of sums. " * 200)
        fields["dataset"] = f"text:{text}"
    for structure in ("unstructured", "2:4"):
        config = recipe.Config(**fields, prune_structure=structure)
        run = ks.train(recipe, config, run_dir=tmp_path / structure[0])
        assert 0.3 < run.metrics["sparsity"] < 0.51
