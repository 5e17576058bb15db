"""Fine-tuning: all weights that match, or none, and nothing silently."""

import hashlib
import json
import shutil

import numpy as np
import pytest

import kerascale as ks


@pytest.mark.parametrize("kind", ["run folder", ".keras", ".weights.h5"])
def test_init_from_starts_where_the_other_ended(recipe, run, tmp_path, kind):
    source = {
        "run folder": run.path,
        ".keras": run.path / "model.keras",
        ".weights.h5": run.path / "checkpoints" / "best.weights.h5",
    }[kind]
    config = recipe.Config(epochs=0, units=(16,), seed=9)
    tuned = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=source)
    assert tuned.metrics == run.metrics


def test_init_from_lists_every_mismatch_and_changes_nothing(recipe, run, tmp_path):
    config = recipe.Config(epochs=0, units=(8,))
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config, run_dir=tmp_path / "run", init_from=run.path)
    problems = refused.value.problems
    assert len(problems) == 3  # The hidden kernel and bias, the last kernel.
    assert any("expected shape (8, 10). Received: (16, 10)" in p for p in problems)
    assert "--init-partial" in problems[0]
    assert not (tmp_path / "run").exists()


def test_init_partial_says_what_it_left(recipe, run, tmp_path, capsys, recipe_with):
    """Fine-tuning to other classes: the new head starts anew."""
    x = np.random.default_rng(0).integers(0, 17, (60, 8, 8, 1)).astype("uint8")
    mine = recipe_with(lambda c: ks.datasets.from_arrays(x, np.arange(60) % 3, c))
    tuned = ks.train(
        mine,
        mine.Config(epochs=0, units=(16,)),
        run_dir=tmp_path / "run",
        init_from=run.path,
        init_partial=True,
    )
    text = capsys.readouterr().err
    assert text.count("left as they are") == 2
    assert "expected shape (16, 3). Received: (16, 10)" in text
    np.testing.assert_array_equal(tuned.model.weights[0], run.model.weights[0])


def test_a_fine_tuned_run_records_what_it_started_from(recipe, run, tmp_path):
    config = recipe.Config(epochs=0, units=(16,))
    tuned = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=run.path)
    content = json.loads((tuned.path / "config.json").read_text())
    expected = hashlib.sha256((run.path / "model.keras").read_bytes()).hexdigest()
    assert content["init_from"] == str(run.path / "model.keras")
    assert content["init_sha256"] == expected


def test_init_from_a_file_that_is_no_model(recipe, tmp_path):
    path = tmp_path / "bad.keras"
    path.write_bytes(b"no zip")
    with pytest.raises(ks.RefusedError, match=r"expected a run folder.*bad\.keras"):
        ks.train(recipe, recipe.Config(epochs=0), init_from=path)


def test_a_run_that_was_stopped_has_its_best_weights(recipe, run, tmp_path):
    stopped = tmp_path / "stopped"
    shutil.copytree(run.path, stopped)
    (stopped / "model.keras").unlink()
    config = recipe.Config(epochs=0, units=(16,))
    tuned = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=stopped)
    assert tuned.metrics == run.metrics


def test_weights_of_another_vocabulary_are_refused(tmp_path):
    recipe = ks.load_recipe("rnn")

    def train(words, **arguments):
        texts = [f"{words[i % 2]} {i}" for i in range(40)]
        config = recipe.Config(epochs=0, vocabulary_size=4)
        labels = np.arange(40) % 2
        data = ks.datasets.from_arrays(texts, labels, config)
        return ks.train(recipe, config, datasets=data, **arguments)

    first = train(["cat", "dog"], run_dir=tmp_path / "first")
    train(["cat", "dog"], run_dir=tmp_path / "same", init_from=first.path)
    with pytest.raises(ks.RefusedError, match="ids mean the same here"):
        train(["red", "blue"], run_dir=tmp_path / "other", init_from=first.path)
    assert not (tmp_path / "other").exists()
