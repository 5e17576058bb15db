"""A teacher's answers for a text are kept on disk, some of each or all."""

import hashlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.compression.distillation import answer_table, answers, text_answers
from kerascale.compression.distillation.answer_table import Layout
from kerascale.config.fields import to_dict
from kerascale.datasets import gathers

CLASSES = 11


def previous(ids):
    """A teacher that tells the token before, and how many there were before it."""
    ids = tf.convert_to_tensor(ids)
    before = tf.concat([tf.zeros_like(ids[:, :1]), ids[:, :-1]], 1)
    return tf.math.log_softmax(3.0 * tf.one_hot(before, CLASSES), -1)


@pytest.fixture(scope="module")
def tokens():
    return np.random.default_rng(0).integers(0, CLASSES, 203).astype("int32")


@pytest.mark.parametrize("top", [None, 3])
def test_each_token_of_a_window_has_its_own_answer(tokens, tmp_path, top):
    """Whatever place the windows of an epoch begin at."""
    windows = gathers.gather_windows(tokens, 10, shift=True)
    layout = Layout(text_answers.num_rows(windows), CLASSES, top, "float16")
    made = answer_table.write(
        tmp_path / "table", layout, lambda: text_answers.ask(previous, windows)
    )
    table = answer_table.read(tmp_path / "table", layout)
    batches = ks.datasets.pipeline.Batches(
        windows, num_examples=20, batch_size=5, seed=0, shuffle=True
    )
    for found in (made, table):
        both = answers.with_table(batches, found)
        for epoch in (0, 1, 5):
            where = tf.constant(epoch, tf.int64), tf.constant(2, tf.int64)
            x, labels = both.batch(*where)
            plain_x, plain_y = batches.batch(*where)
            np.testing.assert_array_equal(x, plain_x)
            np.testing.assert_array_equal(labels["labels"], plain_y)
            given = np.array(labels["teacher_log_probabilities"])
            assert given.shape == (5, 10, CLASSES)
            np.testing.assert_allclose(np.exp(given).sum(-1), 1, atol=2e-3)
            # It knows what came before, at the beginning of a window too: of the first
            # token alone nothing was before it.
            chosen = given.argmax(-1)
            np.testing.assert_array_equal(chosen[:, 1:], np.array(x)[:, :-1])
    sizes = sorted(p.name for p in (tmp_path / "table").iterdir())
    assert sizes == ["about.json", *(["ids.bin"] if top else []), "values.bin"]
    each = 3 * 4 if top else CLASSES * 2
    assert layout.num_bytes == 202 * each


def test_what_is_not_kept_is_spread_evenly():
    probabilities = np.array([[0.5, 0.01, 0.3, 0.09, 0.1]], "float32")
    layout = Layout(1, 5, 2, "float32")
    table = answer_table.in_memory(layout, lambda: iter([np.log(probabilities)]))
    found = np.exp(np.array(table.rows(tf.constant([0], tf.int64))))
    each = 0.2 / 3
    np.testing.assert_allclose(found, [[0.5, each, 0.3, each, each]], rtol=1e-5)


def test_a_table_that_does_not_fit_is_refused_with_the_figures(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    layout = Layout(free // 400, 50_000, None, "float16")  # 250 times what is free.
    with pytest.raises(ks.RefusedError, match=r"TB.* free in .*-cache-top (99|100)\)"):
        answer_table.write(tmp_path / "table", layout, lambda: iter(()))
    layout = Layout(free, 50_000, None, "float16")
    with pytest.raises(ks.RefusedError, match=r"free in [^ ]*\. Make room, or leave"):
        answer_table.write(tmp_path / "table", layout, lambda: iter(()))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_language_model_learns_from_answers_on_disk(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("all replicas reduce a mean of sums. " * 400)
    recipe = ks.load_recipe("language_model")
    fields = {"num_layers": 1, "num_heads": 2, "width": 8, "max_length": 32}
    fields |= {"dataset": f"text:{text}", "epochs": 3, "execution": "fixed"}
    teacher = ks.train(recipe, recipe.Config(**fields), run_dir=tmp_path / "teacher")
    taught = {"teacher": (str(teacher.path),), "teacher_cache": True, "seed": 1}
    losses = []
    for top in (None, 4):
        config = recipe.Config(**fields, **taught, teacher_cache_top=top)
        run = ks.train(recipe, config, run_dir=tmp_path / f"student-{top}")
        losses.append(run.metrics["loss"])
    plain = recipe.Config(**fields, **{**taught, "teacher_cache": False})
    run = ks.train(recipe, plain, run_dir=tmp_path / "student")
    assert losses == pytest.approx([run.metrics["loss"]] * 2, abs=0.1)
    data = recipe.make_datasets(config)
    again = answers.attached(data, None, [_sha256(teacher.path)], to_dict(config))
    assert again.train.num_examples == data.train.num_examples
    assert "answers from" in capsys.readouterr().err


def _sha256(path):
    return hashlib.sha256((path / "model.keras").read_bytes()).hexdigest()
