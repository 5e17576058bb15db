"""Attacks on a run: what they find, and whether a gradient is masked."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.cli import main
from kerascale.errors import RefusedError
from kerascale.trust.attacks import pgd, square, units, uphill
from kerascale.trust.attacks.ball import Ball
from kerascale.trust.attacks.masking import Evidence, judge


@pytest.fixture(scope="module")
def attacked(run):
    return ks.attack(
        run, epsilons=(0.3, 0.05), steps=8, restarts=2, examples=90, queries=60
    )


def test_accuracy_falls_with_epsilon(attacked, run):
    assert attacked.examples == 90
    assert attacked.clean > 0.7
    assert [point.epsilon for point in attacked.curve] == [0.05, 0.3]
    first, last = attacked.curve
    assert attacked.clean > first.pgd > last.pgd
    assert first.pgd <= first.fgsm
    assert last.pgd < 0.1
    assert not attacked.masked, attacked.judgement.text()
    at = attacked.evidence
    assert at.unbounded == 0
    assert attacked.robust <= min(at.pgd, at.margin, at.transfer, at.black_box)
    assert "No sign of a masked gradient" in attacked.text()


def test_changed_pictures_stay_within_epsilon(attacked):
    assert attacked.pictures
    for example in attacked.pictures:
        assert example.label != example.answer
        change = np.abs(example.changed - example.original)
        assert change.max() <= example.epsilon + 1e-6
        assert 0 <= example.changed.min() <= example.changed.max() <= 1


def test_the_page_has_the_curve_and_the_pictures(attacked):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from kerascale.trust.attacks.page import render

    page = render.render(attacked)
    assert page.count("<svg") == 1
    assert page.count("data:image/png") == 3 * len(attacked.pictures)
    assert "Is the gradient masked?" in page
    assert "http" not in page.replace("http://www.w3.org", "")


class _Flat(keras.layers.Layer):
    """Rounds pixels, so that no gradient comes through: a defence that masks."""

    def call(self, x):
        return tf.round(x / 2) * 2


def _with_model(run, model):
    return ks.Run(
        model=model,
        recipe=run.recipe,
        info=run.info,
        history=run.history,
        metrics=run.metrics,
        path=run.path,
        config=run.config,
    )


def test_a_masked_gradient_is_noticed(run):
    inputs = keras.Input(run.info.input_shape)
    model = keras.Model(inputs, run.model(_Flat()(inputs)))
    found = ks.attack(
        _with_model(run, model),
        epsilons=(0.3,),
        steps=4,
        restarts=1,
        examples=60,
        queries=80,
        transfer_from=run,
    )
    assert found.masked
    text = found.judgement.text()
    assert "MASKED" in text
    assert "random search" in text
    assert "gradient of zero" in text
    assert found.evidence.transfer < found.evidence.pgd


def _evidence(**changes):
    sound = {
        "epsilon": 0.1,
        "examples": 1000,
        "clean": 0.95,
        "fgsm": 0.6,
        "pgd": 0.4,
        "margin": 0.39,
        "transfer": 0.8,
        "black_box": 0.5,
        "beyond": 0.0,
        "unbounded": 0.0,
        "zero": 0.0,
    }
    return Evidence(**{**sound, **changes})


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"fgsm": 0.2}, "one step"),
        ({"margin": 0.2}, "saturated"),
        ({"transfer": 0.2}, "another model's"),
        ({"black_box": 0.3}, "random search"),
        ({"beyond": 0.1}, "withstand PGD"),
        ({"unbounded": 0.3}, "everything may be changed"),
        ({"zero": 0.5}, "gradient of zero"),
    ],
)
def test_each_sign_of_masking(changes, sign):
    assert not judge(_evidence()).masked
    judged = judge(_evidence(**changes))
    assert judged.masked
    assert sign in judged.text()


@pytest.mark.parametrize("norm", ["inf", "2"])
@pytest.mark.parametrize("shape", [(9, 4, 3, 2), (9, 5)])
def test_everything_stays_in_the_ball(norm, shape):
    """Also of numbers that are outside of the range, and of those never changed."""
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype("float32")
    scale = np.linspace(0, 2, shape[-1]).astype("float32")
    ball = Ball(norm, 0.5, scale, low=-1.0, high=1.0)
    zero = tf.zeros((), tf.uint64)
    start = ball.start(tf.constant(x), zero, zero, tf.zeros((), tf.int64)).numpy()
    gradient = random.normal(size=shape).astype("float32") * 1e-30
    step = ball.step(tf.constant(x), tf.constant(start), tf.constant(gradient), 0.4)
    for found in (start, step.numpy()):
        change = found - x
        assert np.abs(change[..., 0]).max() == 0
        assert found.max() <= max(1.0, x.max())
        units_ = (change[..., 1:] / scale[1:]).reshape(len(x), -1)
        length = np.abs(units_).max(1)
        if norm == "2":
            length = np.sqrt((units_**2).sum(1))
        assert length.max() <= 0.5 + 1e-5
        assert length.min() > 0


def test_random_points_know_their_place():
    x = tf.zeros((8, 3), tf.float64)
    seed = tf.constant(3, tf.uint64)
    for norm in ("inf", "2"):
        ball = Ball(norm, 1.0, 1.0, -5.0, 5.0)
        whole = ball.start(x, seed, seed, tf.constant(0, tf.int64))
        part = ball.start(x[5:], seed, seed, tf.constant(5, tf.int64))
        np.testing.assert_array_equal(whole[5:], part)
        assert len(np.unique(whole)) == 24


def test_units_of_data(recipe, run):
    pictures = units.of(recipe.make_datasets(run.config))
    assert (pictures.scale, pictures.low, pictures.high) == (16, 0, 16)
    random = np.random.default_rng(0)
    x = random.normal(3.0, [1.0, 5.0, 0.0], size=(60, 3)).astype("float32")
    data = ks.datasets.from_arrays(x, np.arange(60) % 3, recipe.Config())
    found = units.of(data)
    assert found.name.startswith("standard deviations")
    assert 0.7 < found.scale[0] < 1.3
    assert 3.5 < found.scale[1] < 6.5
    assert found.scale[2] == 0


def test_a_model_without_a_gradient_in_its_answers_has_none(run):
    x = tf.constant(np.zeros((2, 8, 8, 1), "float32"))
    gradient = uphill.gradient_of(
        keras.Sequential([keras.Input((8, 8, 1)), _Flat(), run.model]),
        x,
        tf.constant([0, 1], tf.int64),
        lambda outputs, y: outputs[:, 0],
    )
    assert not gradient.numpy().any()


def test_random_search_sees_no_gradient(run, recipe):
    data = recipe.make_datasets(run.config)
    x, y = units.examples(data.test.for_evaluation(), 40)
    ball = units.of(data).ball("2", 2.0)
    found = square.square(run.model, x, y, ball, queries=60)
    right = pgd.is_right(run.model, x, y)
    assert found.accuracy < right.mean()
    length = np.sqrt((((found.tried - x) / 16) ** 2).reshape(40, -1).sum(1))
    assert length.max() <= 2.0 + 1e-4


def test_the_command(run, capsys):
    arguments = ["--epsilon", "0.1", "--steps", "2", "--restarts", "1"]
    arguments += ["--examples", "30", "--queries", "3", "--transfer-from"]
    assert main(["attack", str(run.path), *arguments, str(run.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["curve"][0]["epsilon"] == 0.1
    assert found["units"] == "pixels from 0 to 1"
    written = json.loads((run.path / "attack.json").read_text())
    assert written["clean"] == found["clean"]


def test_everything_wrong_is_named_at_once(run, capsys):
    arguments = ["--epsilon", "-1", "--steps", "0", "--examples", "0"]
    assert main(["attack", str(run.path), *arguments]) == 2
    told = capsys.readouterr().err
    for part in ("epsilon: expected", "steps: expected", "examples: expected"):
        assert part in told
    assert main(["attack", "nowhere"]) == 2


def test_texts_are_refused(run):
    info = ks.datasets.DataInfo("a.csv", "text", (None,), ("a", "b"))
    told = _with_model(run, run.model)
    told.info = info
    with pytest.raises(RefusedError, match="expected pictures or vectors"):
        ks.attack(told, epsilons=(float("nan"),))
