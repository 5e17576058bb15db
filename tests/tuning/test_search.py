"""A search as a user makes it; a trial is the run that it is alone."""

import json
import pathlib

import numpy as np
import pytest

import kerascale as ks
from kerascale.config.fields import from_dict, to_dict
from kerascale.errors import RefusedError
from kerascale.runs import files
from kerascale.tuning import jobs

SEARCH = (
    "tune",
    "mlp",
    "--field",
    "learning_rate=[1e-2,1e38]",
    "--field",
    "units=[4,8]",
    "--sampler",
    "grid",
    "--pruner",
    "none",
    "--epochs",
    "2",
    "--study",
    "study",
)


def _result(finished):
    assert finished.returncode in (0, 1), finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def searched(tmp_path_factory, request):
    """Half of a search; then the rest by another command, with the winner trained."""
    from kerascale import cli

    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main([*SEARCH, "--trials", "1"]) == 0
        # What is open in this process is let go of, as where a process has ended.
        assert cli.main([*SEARCH, "--best"]) == 0
    return folder


def test_trials_and_failures_are_told_apart(searched, kerascale):
    again = _result(kerascale(*SEARCH, "--json", cwd=searched))
    kinds = [trial["kind"] for trial in again["trials"]]
    assert kinds == ["complete", "complete", "failed", "failed"]
    assert again["tried"] == 4
    assert "diverged" in again["trials"][2]["reason"]
    best = min(t["score"] for t in again["trials"] if t["score"] is not None)
    assert again["best"]["score"] == best
    page = (searched / "study" / "tune.html").read_text()
    assert "4 configurations tried: 2 complete, 0 pruned, 2 failed" in page
    assert "best val_loss of 4 configurations" in page


def test_a_trial_is_the_run_that_it_is_alone(searched, tmp_path, recipe):
    """Trial 1 was trained by a process that had trained none before it, 2 and 3 not."""
    trial = searched / "study" / "trials" / "0001"
    fields = files.read_config(trial)["fields"]
    config = from_dict(recipe.Config, fields)
    ours = ks.train(recipe, config, run_dir=tmp_path / "alone")
    theirs = ks.load_run(trial)
    assert theirs.history == ours.history
    for one, other in zip(theirs.model.weights, ours.model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    # A search does not look at the test examples.
    assert theirs.metrics["split"] == "validation"
    assert "test" not in files.read_config(trial)["data"]["num_examples"]


def test_the_winner_is_trained_on_more_and_tested(searched):
    (final,) = [p for p in (searched / "study" / "best").iterdir() if p.is_dir()]
    config = files.read_config(final)
    of_trial = files.read_config(searched / "study" / "trials" / final.name)
    counts, before = (c["data"]["num_examples"] for c in (config, of_trial))
    assert counts["train"] == before["train"] + before["validation"]
    assert "validation" not in counts
    assert ks.load_run(final).metrics["split"] == "test"
    assert config["fields"]["learning_rate"] == of_trial["fields"]["learning_rate"]


@pytest.mark.slow
def test_a_search_in_which_all_fail_exits_with_1(kerascale, tmp_path):
    only_bad = [a.replace("[1e-2,1e38]", "[1e38]") for a in SEARCH]
    only_bad = [a.replace("units=[4,8]", "units=[4]") for a in only_bad]
    finished = kerascale(*only_bad)
    assert finished.returncode == 1
    assert "None of them has a score" in finished.stderr
    assert pathlib.Path(tmp_path, "study", "trials", "0000.log").exists()


def test_what_the_data_or_the_model_has_not_is_told_at_once(recipe):
    config = recipe.Config(monitor="val_auc", folds=500, group="who")
    job = {
        "recipe": "mlp",
        "fields": to_dict(config),
        "objective": "auc",
        "strategy": "auto",
    }
    with pytest.raises(RefusedError, match="folds: expected at most") as refused:
        jobs.check(job, None)
    for part in (
        "group: expected csv:, parquet: or npz: data",
        "monitor: expected one of loss, accuracy",
    ):
        assert part in str(refused.value)
    job["fields"] = to_dict(recipe.Config(monitor="val_accuracy", folds=3))
    job["objective"] = "accuracy"
    assert jobs.check(job, None)["kind"] == "checked"


@pytest.mark.slow
def test_bad_input_is_told_at_once(kerascale, tmp_path):
    finished = kerascale(
        *("tune", "mlp", "--field", "learning_rate=1e-3..1e-2"),
        *("--monitor", "val_auc", "--folds", "500", "--group", "who", "--jobs", "9"),
    )
    assert finished.returncode == 2
    for part in (
        "--jobs: expected at most --concurrency, 4",
        "group: expected csv:, parquet: or npz: data",
        "folds: expected at most",
        "monitor: expected one of loss, accuracy",
    ):
        assert part in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_told_at_once(kerascale):
    finished = kerascale(
        *("tune", "mlp", "--field", "learning_rat=1..2", "--field", "units=[]"),
        *("--trials", "0", "--sampler", "best", "--epochs", "many"),
    )
    assert finished.returncode == 2
    for part in ("learning_rat: no such", "units: expected", "trials", "sampler"):
        assert part in finished.stderr
    both = kerascale("tune", "mlp", "--find", "batch-size", "--trials", "3")
    assert both.returncode == 2
    assert "--trials: expected without --find" in both.stderr
