"""`kerascale train RECIPE --teacher RUN`, from the flag to the report."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from helpers.small import FIELDS
from helpers.stopping import StopAfter

import kerascale as ks
from kerascale.compression.distillation import Teacher, answers
from kerascale.config.fields import to_dict
from kerascale.errors import StoppedError


@pytest.fixture(scope="module")
def settings(run):
    """Of a student of the small run that all these tests share."""
    return {
        "epochs": 2,
        "units": (4,),
        "l2": 1e-3,
        "class_weight": ("3=2.5",),
        "teacher": (str(run.path),),
        "execution": "fixed",
    }


@pytest.fixture(scope="module")
def student(recipe, settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("distilled") / "run"
    return ks.train(recipe, recipe.Config(**settings), run_dir=folder)


def test_results_name_the_teacher(student, run):
    found = student.metrics
    assert found["teacher_accuracy"] == pytest.approx(run.metrics["accuracy"])
    assert 0 < found["teacher_agreement"] <= 1
    assert found["teacher_parameters"] == run.model.count_params()
    assert found["parameters"] == student.model.count_params()


def test_what_is_saved_is_the_student_alone(student):
    loaded = ks.load_run(student.path)
    assert loaded.model.count_params() == student.model.count_params()
    assert type(loaded.model) is ks.models.MLP
    best = student.path / "checkpoints" / "best.weights.h5"
    # The teacher has ten times as many numbers.
    assert best.stat().st_size < 60_000


@pytest.mark.slow
def test_answers_on_disk_teach_the_same(recipe, settings, student, tmp_path, capsys):
    config = recipe.Config(**settings, teacher_cache=True)
    cached = [
        ks.train(recipe, config, run_dir=tmp_path / name) for name in ("one", "two")
    ]
    said = capsys.readouterr().err
    assert "answers in" in said
    assert "answers from" in said
    assert cached[0].history == cached[1].history
    for name, values in student.history.items():
        np.testing.assert_allclose(cached[0].history[name], values, rtol=1e-3)


def test_damaged_answers_are_computed_again(
    recipe, settings, run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
    config = recipe.Config(**settings, teacher_cache=True)
    data = recipe.make_datasets(config)
    teacher = Teacher(run.model)

    def taught():
        found = answers.attached(data, teacher, ["0" * 64], to_dict(config))
        _, labels, _ = found.train.example_batch()
        return labels["teacher_log_probabilities"].numpy()

    first = taught()
    (path,) = (tmp_path / "cache" / "teacher_answers").glob("*/values.bin")
    content = bytearray(path.read_bytes())
    content[-3] ^= 64
    path.write_bytes(content)
    np.testing.assert_array_equal(taught(), first)
    assert "is damaged; the teacher answers again" in capsys.readouterr().err
    x, *_ = data.train.example_batch()
    np.testing.assert_allclose(teacher(x), first, atol=1e-4)


@pytest.mark.slow
def test_a_stopped_student_goes_on_to_the_same_bits(
    recipe, settings, student, run, tmp_path
):
    config, folder = recipe.Config(**settings), tmp_path / "run"
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=folder, callbacks=[StopAfter(50)])
    # Another teacher in its folder is not taken for it.
    aside = tmp_path / "aside"
    shutil.copytree(run.path, aside)
    record = json.loads((folder / "config.json").read_text())
    (name,) = record["depends_on"]
    assert name == f"teacher {run.path}"
    record["depends_on"][name] = "0" * 64
    changed = json.dumps(record)
    before = (folder / "config.json").read_text()
    (folder / "config.json").write_text(changed)
    with pytest.raises(ks.RefusedError, match="of sha256 000000000000"):
        ks.train(recipe, config, run_dir=folder)
    (folder / "config.json").write_text(before)
    resumed = ks.train(recipe, config, run_dir=folder)
    assert resumed.history == student.history
    for a, b in zip(resumed.model.weights, student.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_hidden_layers_learn_from_those_of_the_teacher(recipe, settings, run, tmp_path):
    """Through a projection that is not saved with it; and stopped, to the bit."""
    hints = {**settings, "distill_features": ("hidden_0",)}
    config = recipe.Config(**hints)
    whole = ks.train(recipe, config, run_dir=tmp_path / "whole")
    with pytest.raises(StoppedError):
        ks.train(recipe, config, run_dir=tmp_path / "run", callbacks=[StopAfter(50)])
    resumed = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert resumed.history == whole.history
    loaded = ks.load_run(resumed.path).model
    assert [w.name for w in loaded.weights] == ["kernel", "bias"] * 2
    for a, b in zip(resumed.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    other = recipe.Config(**{**settings, "distill_features": ("hidden_9",)})
    with pytest.raises(ks.RefusedError, match="expected a layer of the student"):
        ks.train(recipe, other, run_dir=tmp_path / "other")


def test_bad_teachers_are_refused_at_once(recipe, settings, run, tmp_path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run.path, unfinished)
    (unfinished / "evaluation.json").unlink()
    (tmp_path / "empty").mkdir()
    paths = tuple(str(tmp_path / n) for n in ("unfinished", "empty", "missing"))
    config = dataclasses.replace(
        recipe.Config(**settings), teacher=(*paths, str(run.path), str(run.path))
    )
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config, run_dir=tmp_path / "run")
    text = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 4
    for part in ("not finished", "holds no run", "no folder", "each run once"):
        assert part in text
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_other_data_is_refused(recipe, settings, run, tmp_path):
    config = recipe.Config(**{**settings, "class_weight": ()})
    x = np.random.default_rng(0).normal(size=(60, 5)).astype("float32")
    data = ks.datasets.from_arrays(x, np.arange(60) % 3, config)
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config, datasets=data, run_dir=tmp_path / "run")
    text = "\n".join(refused.value.problems)
    for part in ("data of this kind", "these classes", "inputs of this shape"):
        assert part in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distill_alpha": 0.5}, "distill_alpha: expected only with a teacher"),
        ({"teacher_cache": True}, "teacher_cache: expected only with a teacher"),
        (
            {"teacher": ("runs/x",), "teacher_cache": True, "augment_shift": 0.1},
            "augment_shift, which changes them",
        ),
        ({"teacher": ("a",), "distill_temperature": 0.0}, "distill_temperature"),
        ({"teacher": ("a",), "teacher_cache_top": 3}, "only with teacher_cache"),
        ({"distill_features": ("a:b",)}, "distill_features: expected only with a tea"),
        (
            {"teacher": ("a",), "distill_attention_weight": 2.0},
            "with distill_attention",
        ),
        ({"teacher": ("a",), "distill_features": ("a:b:c",)}, "expected LAYER:LAYER"),
        ({"teacher": ("a", "b"), "distill_features": ("a",)}, "expected one teacher"),
        (
            {"teacher": ("a",), "distill_features": ("a",), "teacher_cache": True},
            "expected without teacher_cache",
        ),
    ],
)
def test_fields_that_contradict_each_other(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        recipe.Config(**values)


def test_one_flag_for_each_teacher(kerascale, tmp_path):
    flags = ("--teacher", "a", "--epochs", "1", "--teacher", "b", "--teacher-cache")
    ended = kerascale("train", "mlp", *flags)
    assert ended.returncode == 2
    assert "2 problems" in ended.stderr
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cnn", marks=pytest.mark.slow),
        pytest.param("rnn", marks=pytest.mark.slow),
        pytest.param("transformer", marks=pytest.mark.slow),
        pytest.param("language_model", marks=pytest.mark.slow),
    ],
)
def test_every_recipe_has_teachers(name, tmp_path):
    recipe = ks.load_recipe(name)
    fields = {**FIELDS[name], "epochs": 1, "max_steps": 3}
    if name == "language_model":
        text = tmp_path / "text.txt"
        text.write_text("all replicas reduce a mean of sums. " * 200)
        fields["dataset"] = f"text:{text}"
    teacher = ks.train(recipe, recipe.Config(**fields), run_dir=tmp_path / "teacher")
    config = recipe.Config(**fields, seed=1, teacher=(str(teacher.path),))
    student = ks.train(recipe, config, run_dir=tmp_path / "student")
    assert student.metrics["teacher_accuracy"] == teacher.metrics["accuracy"]
    if name in ("transformer", "language_model"):
        config = dataclasses.replace(config, distill_attention=("auto",))
        looked = ks.train(recipe, config, run_dir=tmp_path / "looked")
        assert looked.history["loss"] != student.history["loss"]
