"""Numbers to predict: a teacher of them, and a ladder that is judged by R2.

Of handwritten digits, how much ink there is and how low it lies.
"""

import numpy as np
import pytest

import kerascale as ks
from kerascale.compression.ladder import moved, result, table
from kerascale.compression.ladder.climb import Wishes, climb
from kerascale.compression.page import render

EPOCHS = {
    "epochs": 6,
    "dropout": 0.0,
    "batch_size": 32,
    "learning_rate": 1e-2,
    "execution": "fixed",
}


def arrays():
    train = ks.datasets.read("digits").train
    x = (train.features / 16).astype("float32")[:600]
    ink = x.sum(axis=(1, 2, 3))
    rows = np.arange(8)[:, None]
    height = (x[..., 0] * rows).sum(axis=(1, 2)) / ink
    return x.reshape(600, 64), np.stack([100 * ink, height], axis=1)


@pytest.fixture(scope="module")
def recipe():
    return ks.load_recipe("mlp")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    x, y = arrays()
    path = tmp_path_factory.mktemp("numbers") / "ink.npz"
    np.savez(path, x_train=x[:450], y_train=y[:450], x_test=x[450:], y_test=y[450:])
    return f"npz:{path}"


@pytest.fixture(scope="module")
def run(recipe, dataset, tmp_path_factory):
    config = recipe.Config(dataset=dataset, units=(32,), **EPOCHS)
    return ks.train(recipe, config, run_dir=tmp_path_factory.mktemp("teachers") / "run")


@pytest.fixture(scope="module")
def student(recipe, dataset, run, tmp_path_factory):
    config = recipe.Config(
        dataset=dataset,
        units=(8,),
        teacher=(str(run.path),),
        distill_alpha=1.0,
        teacher_cache=True,
        **EPOCHS,
    )
    return ks.train(recipe, config, run_dir=tmp_path_factory.mktemp("taught") / "run")


def test_a_teacher_of_numbers(run, student):
    found = student.metrics
    for name in ("r2", "rmse", "mae"):
        assert found[f"teacher_{name}"] == pytest.approx(run.metrics[name], rel=1e-5)
    assert found["teacher_parameters"] == run.model.count_params()
    # It has seen no label.
    assert found["r2"] > 0.6


def test_what_only_classes_have_is_refused(recipe, dataset, run, tmp_path):
    config = recipe.Config(
        dataset=dataset,
        units=(8,),
        teacher=(str(run.path),),
        distill_temperature=2.0,
        teacher_cache=True,
        teacher_cache_top=1,
        **EPOCHS,
    )
    with pytest.raises(ks.RefusedError, match="2 problems") as refused:
        ks.train(recipe, config, run_dir=tmp_path / "run")
    assert "distill_temperature: expected only with classes" in str(refused.value)


def test_a_teacher_of_other_targets_is_refused(recipe, run, tmp_path):
    x, y = arrays()
    np.savez(
        tmp_path / "one.npz", x_train=x, y_train=y[:, :1], x_test=x, y_test=y[:, :1]
    )
    config = recipe.Config(
        dataset=f"npz:{tmp_path / 'one.npz'}", teacher=(str(run.path),), **EPOCHS
    )
    with pytest.raises(ks.RefusedError, match="expected these targets"):
        ks.train(recipe, config, run_dir=tmp_path / "run")


@pytest.fixture(scope="module")
def ladder(run, forked_runtimes):
    return climb(run, Wishes(levels=("int8-weights",), runtimes=("tensorflow",)))


def test_a_ladder_of_numbers(run, ladder):
    found, changes = ladder
    floats, small = found.rows
    assert found.original["r2"] == pytest.approx(run.metrics["r2"], rel=1e-5)
    assert floats.scores["r2"] == pytest.approx(run.metrics["r2"], rel=1e-5)
    assert abs(floats.scores["drop"]) < 1e-6
    assert set(small.scores["target_drops"]) == set(run.info.target_names)
    low, high = small.scores["drop_interval"]
    assert low < small.scores["drop"] < high
    assert 0 < small.scores["largest_change"] < 0.2
    text = table.text(found)
    assert "R2" in text
    assert f"{small.scores['r2']:.4f}" in text
    assert changes[floats.rung] == []


def test_a_rung_that_loses_too_much_is_refused(ladder):
    found, _ = ladder
    assert found.to_json()["measure"] == "r2"
    worse = {**found.rows[-1].scores, "drop": 0.02}
    expected = "0.0200 of R2 lost, where 0.01 is the limit"
    assert result.refusal(worse, 0.01) == expected


def test_the_page_has_targets_and_answers_that_moved(ladder):
    pytest.importorskip("matplotlib")
    found, changes = ladder
    html = render.render(found, changes)
    assert "R2 that each target lost" in html
    assert "<h2>Targets</h2>" in html
    assert "further off: it is" in html or "nearer: it is" in html
    assert all(isinstance(c, moved.Moved) for c in changes[found.rows[-1].rung])
