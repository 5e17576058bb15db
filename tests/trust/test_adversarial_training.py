"""`kerascale train RECIPE --adversarial pgd`, from the flag to the result."""

import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.errors import StoppedError
from kerascale.trust.adversarial import adversarial, finish
from kerascale.trust.attacks.ball import Ball

SETTINGS = {
    "epochs": 8,
    "units": (16,),
    "learning_rate": 1e-2,
    "adversarial": "pgd",
    "adversarial_steps": 3,
    "adversarial_warmup_epochs": 0.5,
    "execution": "fixed",
}


@pytest.fixture(scope="module")
def hardened(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hardened") / "run"
    return ks.train(recipe, recipe.Config(**SETTINGS), run_dir=folder)


@pytest.mark.slow
def test_it_withstands_more(hardened, run, recipe):
    """Than a model of the same size that has seen more, and examples as they are."""
    assert hardened.metrics["epsilon"] == 0.1
    assert hardened.metrics["adversarial_examples"] == 450
    found = [
        ks.attack(
            each,
            epsilons=(0.1,),
            steps=5,
            restarts=1,
            examples=100,
            queries=2,
            transfer_from=run,
        )
        for each in (hardened, run)
    ]
    assert found[0].curve[0].pgd > found[1].curve[0].pgd + 0.2


def test_what_is_left_is_a_plain_model(hardened, run):
    loaded = ks.load_run(hardened.path)
    assert type(loaded.model) is ks.models.MLP
    names = [v.path.partition("/")[2] for v in loaded.model.variables]
    assert names == [v.path.partition("/")[2] for v in run.model.variables]
    assert not any("adversarial" in v.path for v in hardened.model.variables)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_bits(recipe, hardened, tmp_path):
    config, folder = recipe.Config(**SETTINGS), tmp_path / "run"
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=folder, callbacks=[StopAfter(50)])
    resumed = ks.train(recipe, config, run_dir=folder)
    assert resumed.history == hardened.history
    for a, b in zip(resumed.model.weights, hardened.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_finish_gives_the_model_back(run):
    model = ks.models.MLP(10, units=(4,))
    model.build((None, 8, 8, 1))
    model.compile("adam", "sparse_categorical_crossentropy")
    before = len(model.variables)
    adversarial(model, Ball("inf", 0.1, 16.0, 0.0, 16.0), steps=1)
    adversarial(model, Ball("inf", 0.2, 16.0, 0.0, 16.0), steps=1)
    assert len(model.variables) == before + 1
    finish(finish(model))
    assert len(model.variables) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epsilon": 0.1}, "epsilon: expected only with adversarial"),
        ({"adversarial_steps": 3}, "adversarial_steps: expected only with adversarial"),
        ({"adversarial": "fgsm", "adversarial_steps": 3}, "fgsm takes one step"),
        ({"adversarial": "pgd", "epsilon": 0.0}, "epsilon: expected a finite number"),
        (
            {"adversarial": "pgd", "teacher": ("a",), "teacher_cache": True},
            "teacher_cache: expected training examples that are the same",
        ),
    ],
)
def test_fields_that_contradict_each_other(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        recipe.Config(**values)


def test_texts_are_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("all replicas reduce a mean of sums. " * 200)
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        **FIELDS["language_model"], dataset=f"text:{text}", adversarial="pgd"
    )
    with pytest.raises(ks.RefusedError, match="expected pictures or vectors"):
        ks.train(recipe, config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wrong_arguments_are_named_at_once(run):
    with pytest.raises(ks.RefusedError) as refused:
        adversarial(run.model, Ball("inf", 0.0, 1.0, 0.0, 1.0), steps=0, step_size=-1.0)
    assert len(refused.value.problems) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "rnn", "transformer"])
@pytest.mark.parametrize("kind", ["pgd", "fgsm"])
def test_every_recipe_of_pictures(name, kind, tmp_path):
    recipe = ks.load_recipe(name)
    config = recipe.Config(
        **{**FIELDS[name], "epochs": 1, "max_steps": 4},
        adversarial=kind,
        adversarial_norm="2",
    )
    found = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert 0 <= found.metrics["adversarial_accuracy"] <= found.metrics["accuracy"] + 0.1
