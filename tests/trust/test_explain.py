"""Explanations: exact where the truth is known, measured against chance elsewhere."""

import contextlib
import json

import keras
import numpy as np
import pytest
from helpers import trust_runs

import kerascale as ks
from kerascale.cli import main
from kerascale.trust.explanation import (
    curves,
    gradients,
    local_fit,
    parts,
    randomized,
    rollout,
)
from kerascale.trust.explanation.subject import Subject

pytest.importorskip("shap")
pytest.importorskip("lime")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trust_runs.train_on_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def explanation(run):
    before = [variable.numpy() for variable in run.model.variables]
    found = ks.explain(run, examples=8)
    for variable, values in zip(run.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), values)
    return found


def _linear(count=3, width=6):
    """A model whose attributions are known: weights times distances."""
    model = ks.models.MLP(1, units=(), classifier_activation=None)
    model.build((None, width))
    weights = np.arange(1, width + 1, dtype=np.float32)[:, None] - 3
    model.logits.kernel.assign(weights)
    values = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    baseline = np.full_like(values, 0.25)
    own = parts.in_a_row(width)
    subject = Subject(
        model=model,
        embedded=values,
        baseline=baseline,
        masks=None,
        targets=np.zeros(count, int),
        parts=own,
        coarse=own,
        is_regression=True,
        has_embedding=True,
    )
    return subject, (values - baseline) * weights[:, 0]


def test_linear_models_are_explained_exactly():
    from kerascale.trust.explanation.shapley import ShapProcess

    subject, truth = _linear()
    found = gradients.integrate(subject, steps=4)
    np.testing.assert_allclose(found.values, truth, atol=1e-5)
    assert np.abs(found.errors).max() < 1e-5
    with ShapProcess() as shap:
        np.testing.assert_allclose(shap.values(subject, seed=0), truth, atol=1e-5)
    # With the baseline's values for parts that go; ridge shrinks it a little.
    np.testing.assert_allclose(
        local_fit.fit(subject, seed=0, training=None), truth, rtol=0.05, atol=0.02
    )


def test_redrawn_columns_hold_values_of_the_training():
    """The library feeds zeros for a constant column, and for a frequent minimum."""
    subject, _ = _linear(width=2)
    training = np.array([[7.0, 3.0], [7.0, 3.0], [7.0, 5.0]], np.float32)
    keep = np.zeros((50, 2), bool)
    found = local_fit._redrawn(subject, keep, training, 0, np.random.default_rng(0))
    assert set(found[:, 0]) == {7.0}
    assert set(found[:, 1]) == {3.0, 5.0}


def test_pictures(explanation):
    names = {method.name for method in explanation.methods}
    assert names == {"integrated-gradients", "shap", "occlusion"}
    assert set(explanation.left_out) == {"lime", "attention-rollout"}
    for method in explanation.methods:
        assert method.values.shape == (8, 64)
        assert method.beats_chance
        assert method.likeness < 0.6
    assert explanation.method("integrated-gradients").completeness_error < 0.02
    assert explanation.method("shap").completeness_error < 1e-3
    wanted = [shown.value - shown.baseline for shown in explanation.examples]
    shap = explanation.method("shap").values.sum(axis=1)
    np.testing.assert_allclose(shap, wanted, atol=1e-4)


def test_the_page_and_the_file(explanation, run):
    page = explanation.write().read_text()
    assert page.count("data:image/png") == 8 * 4
    assert "example 0" in page
    content = json.loads((run.path / "explain.json").read_text())
    assert content["methods"]["shap"]["beats_chance"]
    first = content["examples"][0]
    assert len(first["attributions"]["shap"]) == 8
    assert first["attributions"]["shap"][0][0].startswith("row ")


def test_curves_know_good_from_bad():
    subject, truth = _linear(count=6)
    chance = curves.by_chance(subject, seed=0)
    _, low, _ = curves.better_by(curves.measure(subject, truth), chance, seed=0)
    assert low > 0
    backwards = 1 / (1 + np.abs(truth))
    _, _, high = curves.better_by(curves.measure(subject, backwards), chance, seed=0)
    assert high < 0


def test_what_forgets_remembers_again():
    subject, truth = _linear()
    before = subject.model.logits.kernel.numpy()
    with randomized.forgotten(subject.model, seed=0):
        assert (subject.model.logits.kernel.numpy() != before).any()
    np.testing.assert_array_equal(subject.model.logits.kernel.numpy(), before)
    with contextlib.suppress(KeyError), randomized.forgotten(subject.model, seed=0):
        raise KeyError
    np.testing.assert_array_equal(subject.model.logits.kernel.numpy(), before)
    assert randomized.likeness(subject, truth, truth) == pytest.approx(1)
    # An explanation that shows the example whatever the model is.
    noise = np.random.default_rng(1).normal(size=truth.shape)
    assert abs(randomized.likeness(subject, truth, noise)) < 0.8


def test_attention_that_looks_everywhere_rolls_out_evenly():
    model = ks.models.Transformer(2, num_layers=2, num_heads=2, width=8, patch_size=2)
    model.build((None, 4, 4, 1))
    for block in model.stack.blocks:
        block.attention.query_key_value.kernel.assign(
            keras.ops.zeros_like(block.attention.query_key_value.kernel)
        )
    values = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32)
    subject = Subject(
        model=model,
        embedded=values,
        baseline=np.zeros_like(values),
        masks=None,
        targets=np.zeros(2, int),
        parts=parts.of_picture(4, 4),
        coarse=parts.squares(4, 4),
        has_embedding=True,
    )
    np.testing.assert_allclose(rollout.roll_out(subject), 1 / 16, atol=1e-6)


def test_half_models_are_whole_ones():
    ids = np.array([[1, 2, 3, 0], [4, 1, 0, 0]])
    pictures = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype(np.float32)
    models = [
        (ks.models.Transformer(3, vocabulary_size=5, width=8, max_length=4), ids),
        (ks.models.RNN(3, vocabulary_size=5, units=(4,)), ids),
        (ks.models.CNN(3, filters=(4,)), pictures),
        (ks.models.RNN(3, units=(4,)), pictures),
    ]
    for model, inputs in models:
        whole = model(inputs)
        halves = model.call_embedded(*model.embed(inputs))
        np.testing.assert_allclose(halves, whole, atol=1e-6)


def test_answers_that_the_baseline_gets_are_told(run, explanation):
    assert "the baseline gets the same" not in explanation.text()
    # Most examples are surely no "3", and a grey picture is none.
    found = ks.explain(run, target="3", methods=["occlusion"], examples=8)
    alike = [abs(e.value - e.baseline) < 0.05 for e in found.examples]
    assert [e.is_like_baseline for e in found.examples] == alike
    assert 0 < sum(alike)
    assert f"{sum(alike)} of 8 examples: the baseline gets the same" in found.text()
    page = found.write().read_text()
    assert page.count("The baseline gets this answer, too") == sum(alike)


def test_everything_wrong_is_said_at_once(run, tmp_path, capsys):
    with pytest.raises(ks.RefusedError, match="3 problems") as refused:
        ks.explain(run, examples=0, split="all", methods=["magic"])
    assert "--methods: expected some of integrated-gradients" in str(refused.value)
    with pytest.raises(ks.RefusedError, match="it is for texts and tables here"):
        ks.explain(run, methods=["lime"], examples=1)
    with pytest.raises(ks.RefusedError, match="--target: expected one of 0, 1, 2"):
        ks.explain(run, methods=["occlusion"], target="x", examples=1)
    assert main(["explain", str(tmp_path)]) == 2
    assert "expected the folder of a finished run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["rnn", "transformer"])
def test_words_that_decide_are_found(recipe, tmp_path):
    random = np.random.default_rng(0)
    plain = "the film was a story about people and it had music".split()
    telling = {"pos": ["lovely", "superb"], "neg": ["awful", "dull"]}
    lines = ["text,label"]
    for row in range(600):
        label = ("pos", "neg")[row % 2]
        words = random.choice(plain, 8).tolist()
        words.insert(int(random.integers(8)), str(random.choice(telling[label])))
        lines.append(f"{' '.join(words)},{label}")
    (tmp_path / "texts.csv").write_text("\n".join(lines))
    loaded = ks.load_recipe(recipe)
    config = loaded.Config(
        dataset=f"csv:{tmp_path / 'texts.csv'}", label="label", epochs=6
    )
    found = ks.explain(ks.train(loaded, config, run_dir=tmp_path / "run"), examples=20)
    known = {word for words in telling.values() for word in words}
    # One class may be what is answered without any telling word: nothing decides then.
    deciding = [i for i, e in enumerate(found.examples) if not e.is_like_baseline]
    assert len(deciding) >= 6
    for name in ("integrated-gradients", "shap", "lime"):
        method = found.method(name)
        first = [found.strongest(method, i, 1)[0][0] for i in deciding]
        assert set(first) <= known, (name, first)
    if recipe == "transformer":
        assert found.method("attention-rollout").values.min() >= 0
