"""Own data, all the way: train, predict with class names, export."""

import json
import pydoc_data.topics
import string

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.cli import main
from kerascale.serving import batch_prediction, known_labels


def _paragraphs():
    """Short texts about two subjects, told apart by one word each."""
    words = {"text": "string text quote letter", "number": "integer float sum real"}
    for label, about in words.items():
        for i in range(60):
            letter = string.ascii_lowercase[i % 26]
            yield f"{letter} {about.split()[i % 4]} of {i}", label


_RNN = pytest.param("rnn", marks=pytest.mark.slow)
_TRANSFORMER = pytest.param("transformer", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Flowers that were never grown: two columns decide between three names."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(240, 3))
    names = np.array(["iris", "rose", "tulip"])
    label = names[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0)]
    frame = pd.DataFrame(x, columns=["length", "width", "noise"])
    path = tmp_path_factory.mktemp("table") / "flowers.csv"
    frame.assign(name=label).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("recipe", ["mlp", _RNN, _TRANSFORMER])
def test_a_table_of_numbers(recipe, table, tmp_path):
    recipe = ks.load_recipe(recipe)
    config = recipe.Config(
        dataset=f"csv:{table}", label="name", epochs=20, batch_size=8
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert run.info.class_names == ("iris", "rose", "tulip")
    assert run.metrics["accuracy"] > 0.7

    frame = pd.read_csv(table)[["noise", "name", "width", "length"]].head(20)
    frame.to_csv(tmp_path / "new.csv", index=False)
    answers = batch_prediction.predict(ks.load_run(run.path), tmp_path / "new.csv")
    assert list(answers) == [
        "class",
        "probability",
        "probability_iris",
        "probability_rose",
        "probability_tulip",
    ]
    # Columns are found by name, in any order.
    assert (answers["class"] == frame["name"]).mean() > 0.7
    known = [run.info.class_names[i] for i in answers.attrs["labels"]]
    assert known == frame["name"].tolist()
    x = frame[["length", "width", "noise"]].to_numpy("float32")
    version = ks.export_saved_model(run, tmp_path / "served")
    serve = tf.saved_model.load(str(version)).signatures["serving_default"]
    served = serve(features=tf.constant(x))["probabilities"].numpy()
    np.testing.assert_allclose(
        served, answers.iloc[:, 2:].to_numpy("float32"), atol=1e-5
    )


@pytest.mark.parametrize("recipe", [_RNN, _TRANSFORMER])
def test_a_table_of_texts(recipe, tmp_path, run_python):
    rows = list(_paragraphs())
    path = tmp_path / "texts.csv"
    pd.DataFrame(rows, columns=["text", "about"]).to_csv(path, index=False)
    recipe = ks.load_recipe(recipe)
    small = {"units": (32,)} if recipe.name == "rnn" else {}
    small["execution"] = "fixed"
    config = recipe.Config(dataset=f"csv:{path}", label="about", epochs=8, **small)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] > 0.9

    loaded = ks.load_run(run.path)
    texts = ["a string", "the float", "words never seen", "", "Quote, LETTER!"]
    frame = pd.DataFrame({"text": texts[:3], "other": 1})
    frame.to_csv(tmp_path / "new.csv", index=False)
    answers = batch_prediction.predict(loaded, tmp_path / "new.csv")
    assert answers["class"].tolist()[:2] == ["text", "number"]

    version = ks.export_saved_model(loaded, tmp_path / "served")
    expected = loaded.serving_model.predict(tf.constant(texts), verbose=0)
    output = run_python(
        """
import sys
import json
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
texts = tf.constant(json.loads(sys.argv[2]))
print(json.dumps(serve(text=texts)["probabilities"].numpy().tolist()))
""",
        version,
        json.dumps(texts),
        imported="tensorflow",
    ).stdout
    served = np.array(json.loads(output.splitlines()[-1]))
    np.testing.assert_allclose(served, expected, atol=1e-5)


def test_a_folder_of_images(tmp_path):
    folder = tmp_path / "pictures"
    generator = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            noise = generator.integers(-30, 30, (9 + i % 3, 10, 3))
            pixels = np.clip(level + noise, 0, 255).astype("uint8")
            data = tf.io.encode_png(pixels).numpy()
            (folder / name / f"{i}.png").write_bytes(data)
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(
        dataset=f"images:{folder}", image_size=8, epochs=5, batch_size=8
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] == 1.0
    answers = batch_prediction.predict(ks.load_run(run.path), folder)
    assert len(answers) == 40
    expected = [path.split("/")[-2] for path in answers["path"]]
    assert answers["class"].tolist() == expected
    assert answers.attrs["labels"].tolist() == [0] * 20 + [1] * 20


def test_scores_where_the_examples_have_labels(run, tmp_path, capsys):
    split = ks.datasets.read("digits").test
    path, output = tmp_path / "new.npz", tmp_path / "answers.csv"
    arguments = ["predict", str(run.path), "--input", str(path), "--json", "--output"]
    np.savez(path, x=split.features, y=split.labels)
    assert main([*arguments, str(output)]) == 0
    captured = capsys.readouterr()
    metrics = json.loads(captured.out.splitlines()[-1])["metrics"]
    for name in ("accuracy", "loss", "f1", "examples"):
        assert metrics[name] == pytest.approx(run.metrics[name])
    assert "The examples have labels:\n  loss " in captured.err
    np.savez(path, x=split.features, y=split.labels + 1)
    assert main([*arguments, str(tmp_path / "other.csv")]) == 0
    captured = capsys.readouterr()
    assert "metrics" not in json.loads(captured.out.splitlines()[-1])
    assert "are no class of the run, such as '10'" in captured.err


def test_labels_in_a_table_and_in_folders(tmp_path):
    frame = pd.DataFrame({"x": ["1", "2"], "y": [" 3.0", "cat"]})
    assert known_labels.of_table(frame, "y") == ["3", "cat"]
    assert known_labels.of_table(frame, "z") is None
    paths = ["new/cat/1.png", "new/dog/deep/2.png"]
    assert known_labels.of_folders(paths, "new", ("cat", "dog")) == ["cat", "dog"]
    assert known_labels.of_folders([*paths, "new/3.png"], "new", ("cat", "dog")) is None


@pytest.mark.slow
def test_a_text_file_and_prompts(tmp_path):
    text = pydoc_data.topics.topics["strings"] * 3
    (tmp_path / "text.txt").write_text(text)
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        dataset=f"text:{tmp_path / 'text.txt'}", epochs=1, num_layers=1, width=32
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert run.metrics["perplexity"] == pytest.approx(
        np.exp(run.metrics["loss"]), rel=1e-6
    )
    (tmp_path / "prompts.txt").write_text("String literals\nThe\n")
    loaded = ks.load_run(run.path)
    answers = batch_prediction.predict(loaded, tmp_path / "prompts.txt")
    assert answers["prompt"].tolist() == ["String literals", "The"]
    assert all(len(text) == 200 for text in answers["continuation"])
    again = batch_prediction.predict(loaded, tmp_path / "prompts.txt")
    assert answers.equals(again)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new.csv", "length,width\n1,2\n", "'noise'"),
        ("new.csv", "length,width,noise\n1,two,3\n", r"line 2.*width|width.*line 2"),
        ("new.csv", "", "empty"),
        ("new.txt", "1 2 3", r"expected a \.csv, \.parquet or \.npz file"),
    ],
)
def test_files_that_do_not_fit_are_refused(table, tmp_path, name, content, message):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=f"csv:{table}", label="name", epochs=0)
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    (tmp_path / name).write_text(content)
    with pytest.raises(ks.RefusedError, match=message):
        batch_prediction.predict(run, tmp_path / name)
