"""`kerascale train RECIPE --dp-clip 1.0 --dp-noise 1.1`, from the flags to the run."""

import csv
import json

import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.datasets import poisson
from kerascale.errors import StoppedError

pytest.importorskip("dp_accounting")

SETTINGS = {
    "epochs": 3,
    "batch_size": 64,
    "units": (16,),
    "execution": "fixed",
    "dp_clip": 1.0,
    "dp_noise": 1.1,
    "dp_seed": 3,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def private(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "run"
    return ks.train(recipe, recipe.Config(**SETTINGS), run_dir=folder)


def _history(run):
    with (run.path / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_epsilon_stands_in_the_history_and_the_evaluation(private):
    from kerascale.trust.privacy.accountant import Mechanism, price

    examples = private.info.num_examples["train"]
    steps = -(-examples // 64)
    found = [float(row["epsilon"]) for row in _history(private)]
    assert found == private.history["epsilon"]
    mechanism = Mechanism(1.1, examples, 64, poisson.rows_for(examples, 64))
    for epoch, epsilon in enumerate(found):
        expected = price([(mechanism, (epoch + 1) * steps)], 1e-4)
        assert epsilon == expected.epsilon == max(expected.pld, expected.rdp) > 0
    assert private.metrics["epsilon"] == found[-1]
    assert private.metrics["private_steps"] == 3 * steps
    assert private.metrics["accuracy"] > 0.5
    assert private.model(np.zeros((2, 8, 8, 1), "float32")).shape == (2, 10)


def test_steps_after_a_kill_count_again(recipe, private, tmp_path):
    """With one key the same numbers come out; without, others: both cost more."""
    config, folder = recipe.Config(**SETTINGS), tmp_path / "run"
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=folder, callbacks=[StopAfter(25)])
    # As if it had been killed some steps after its last checkpoint.
    file = folder / "privacy.json"
    ledger = json.loads(file.read_text())
    assert ledger["sessions"][-1]["steps"] >= 25
    ledger["sessions"][-1]["steps"] += 10
    file.write_text(json.dumps(ledger))
    resumed = ks.train(recipe, config, run_dir=folder)
    for a, b in zip(resumed.model.weights, private.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.metrics["private_steps"] >= private.metrics["private_steps"] + 10
    assert resumed.metrics["epsilon"] > private.metrics["epsilon"]
    file.write_text("{")
    with pytest.raises(ks.RefusedError, match="how many private steps"):
        ks.train(recipe, config, run_dir=folder)


@pytest.mark.slow
def test_a_budget_chooses_the_noise_and_ends_the_training(recipe, tmp_path):
    settings = {**SETTINGS, "dp_noise": None, "dp_epsilon": 2.0, "dp_delta": 1e-4}
    run = ks.train(recipe, recipe.Config(**settings), run_dir=tmp_path / "chosen")
    assert 1.9 < run.metrics["epsilon"] <= 2.0
    assert len(run.history["loss"]) == 3
    noise = run.metrics["noise_multiplier"]
    # More epochs, with the noise of before, do not fit.
    config = recipe.Config(**{**settings, "epochs": 5})
    with pytest.raises(ks.RefusedError, match="room for the next 18 steps"):
        ks.train(recipe, config, run_dir=tmp_path / "chosen")
    settings |= {"dp_noise": noise, "dp_epsilon": 1.75}
    short = ks.train(recipe, recipe.Config(**settings), run_dir=tmp_path / "short")
    assert len(short.history["loss"]) == 2
    assert short.metrics["epsilon"] <= 1.75


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dp_noise": 1.1}, "dp_noise: expected only with dp_clip"),
        ({"dp_clip": 1.0}, "expected with dp_noise, or with dp_epsilon"),
        ({"dp_clip": 1.0, "dp_epsilon": 3.0}, "dp_epsilon: expected with dp_delta"),
        ({"dp_clip": 0.0, "dp_noise": 1.0}, "dp_clip: expected"),
        ({"dp_clip": -1.0, "dp_noise": 1.0}, "dp_clip: expected"),
        (
            {"dp_clip": 1.0, "dp_noise": 1.0, "gradient_accumulation_steps": 2},
            "without gradient_accumulation_steps",
        ),
        (
            {"dp_clip": 1.0, "dp_noise": 1.0, "class_weight": ("balanced",)},
            "class weights that say nothing",
        ),
        ({"dp_clip": 1.0, "dp_noise": 1.0, "prune": 0.5}, "without prune"),
    ],
)
def test_fields_that_contradict_each_other(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        recipe.Config(**values)


def test_everything_wrong_is_said_at_once(kerascale):
    done = kerascale(
        "train", "mlp", "--dp-clip", "1", "--dp-epsilon", "3", "--prune", "0.5",
        "--gradient-accumulation-steps", "2",
    )  # fmt: skip
    assert done.returncode == 2
    for text in ("dp_delta", "without prune", "gradient_accumulation_steps"):
        assert text in done.stderr


def test_batch_normalization_is_refused_before_the_first_step(tmp_path):
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(**FIELDS["cnn"], residual=True, dp_clip=1.0, dp_noise=1.0)
    with pytest.raises(ks.RefusedError, match="without BatchNormalization"):
        ks.train(recipe, config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_attack_finds_less_of_a_private_training(recipe, tmp_path):
    """Trained until it knows its few examples, with and without noise."""
    from kerascale.trust.privacy import membership_attack

    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 20)).astype("float32")
    y = rng.integers(0, 2, 600)
    np.savez(
        tmp_path / "noise.npz", x_train=x[:300], y_train=y[:300],
        x_test=x[300:], y_test=y[300:],
    )  # fmt: skip
    plain = {
        "dataset": f"npz:{tmp_path / 'noise.npz'}",
        "epochs": 40,
        "units": (64,),
        "batch_size": 30,
        "hold_out_validation": False,
        "execution": "fixed",
        "learning_rate": 0.01,
        "schedule": "constant",
    }
    run = ks.train(recipe, recipe.Config(**plain), run_dir=tmp_path / "plain")
    found = membership_attack(run)
    assert found.auc_interval[0] > 0.7
    assert found.epsilon is None
    own = {**plain, "dp_clip": 0.5, "dp_noise": 4.0, "dp_seed": 1}
    run = ks.train(recipe, recipe.Config(**own), run_dir=tmp_path / "private")
    hidden = membership_attack(run)
    assert hidden.auc < 0.65 < found.auc
    assert hidden.advantage <= hidden.most_advantage


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["loop", "one_program", "split"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "rnn", "transformer"])
def test_every_recipe_in_every_form(name, execution, tmp_path):
    recipe = ks.load_recipe(name)
    fields = {**FIELDS[name], "epochs": 1, "max_steps": 8, "batch_size": 16}
    fields |= {"dp_clip": 0.1, "dp_noise": 0.5, "dp_seed": 1, "dropout": 0.0}
    runs = [
        ks.train(
            recipe,
            recipe.Config(**fields, execution=each),
            run_dir=tmp_path / each,
        )
        for each in ("fixed", execution)
    ]
    for a, b in zip(*(run.model.weights for run in runs), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    assert runs[0].metrics["epsilon"] == runs[1].metrics["epsilon"]


def test_one_text_is_refused(tmp_path):
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(dp_clip=1.0, dp_noise=1.0)
    with pytest.raises(
        ks.RefusedError, match=r"dp_clip: expected examples with a label"
    ):
        ks.train(recipe, config, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
