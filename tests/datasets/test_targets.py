"""What the labels of a data set are taken for, from each source."""

import json

import numpy as np
import pandas as pd
import pytest

import kerascale as ks
from kerascale.config.monitor import direction
from kerascale.datasets import splits, targets, targets_of_texts
from kerascale.errors import RefusedError


def decided(*columns, asked="auto", num_classes=None):
    cells = np.array(list(zip(*columns, strict=True)), dtype=object)
    names = [f"y{i}" for i in range(len(columns))]
    return targets.decide(asked, cells, names, num_classes)


@pytest.mark.parametrize(
    ("cells", "task", "why"),
    [
        (["no", "yes"] * 9, "binary", "column 'y0' has 2 classes"),
        (["a", "b", "c"] * 9, "classification", "column 'y0' has 3 classes"),
        (["1", "2", "3"] * 9, "classification", "has 3 classes"),
        (["1.5", "2", "3"] * 9, "regression", "holds numbers such as 1.5"),
        ([str(i * 7) for i in range(40)], "regression", "40 different numbers"),
    ],
)
def test_the_task_is_told_by_the_label(cells, task, why):
    found = decided(cells)
    assert found.task == task
    assert why in found.why


def test_several_columns_are_several_labels_or_several_targets():
    assert decided(["0", "1"], ["1", "0"]).task == "multilabel"
    assert decided(["0", "1"], ["1.5", "0"]).task == "regression"
    assert decided([str(i) for i in range(40)], num_classes=40).task != "regression"


def test_labels_in_one_cell_are_taken_apart():
    cells = np.array([["red; blue"], [""], ["green|red"]], dtype=object)
    found, names = targets_of_texts.of_texts(
        "multilabel", cells, ["colours"], "table.csv"
    )
    assert names == ("blue", "green", "red")
    assert found.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 1]]


def test_a_target_that_is_no_number_is_refused_by_row():
    cells = np.array([["1"], ["x"], [""]], dtype=object)
    with pytest.raises(RefusedError, match=r"expected a number.*'x' in row 1.*1 more"):
        targets_of_texts.of_texts("regression", cells, ["price"], "table.csv")


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.linspace(0, 1, 30), "regression"),
        (np.arange(60).reshape(30, 2) * 1.5, "regression"),
        (np.arange(30) * 1000, "regression"),
        (np.arange(90).reshape(30, 3) % 2, "multilabel"),
        (np.arange(30) % 2, "binary"),
        (np.arange(30) % 3, "classification"),
    ],
)
def test_arrays_are_told_by_their_labels(y, task):
    x = np.random.default_rng(0).normal(size=(30, 4))
    config = ks.load_recipe("mlp").Config()
    assert ks.datasets.from_arrays(x, y, config).info.task == task


def test_what_an_array_cannot_be_is_refused():
    x = np.zeros((4, 2))
    config = ks.load_recipe("mlp").Config(task="multilabel")
    with pytest.raises(RefusedError, match=r"y\[0\]: expected 0 or 1"):
        ks.datasets.from_arrays(x, np.full((4, 3), 2), config)
    config = ks.load_recipe("mlp").Config(task="binary")
    with pytest.raises(RefusedError, match="expected two classes for binary"):
        ks.datasets.from_arrays(x, np.array([0, 1, 2, 1]), config)
    config = ks.load_recipe("mlp").Config(task="regression")
    with pytest.raises(RefusedError, match="expected targets that differ"):
        ks.datasets.from_arrays(np.zeros((40, 2)), np.ones(40), config)


def test_ranks_have_the_order_that_is_given():
    x = np.random.default_rng(0).normal(size=(60, 4))
    y = np.array(["low", "mid", "high"] * 20)
    mlp = ks.load_recipe("mlp")
    with pytest.raises(RefusedError, match="class_order: expected the classes from"):
        ks.datasets.from_arrays(x, y, mlp.Config(task="ordinal"))
    order = ("low", "mid", "high")
    config = mlp.Config(task="ordinal", class_order=order)
    found = ks.datasets.from_arrays(x, y, config)
    assert found.info.class_names == order
    xs, ys = next(iter(found.test.for_evaluation().dataset()))
    rows = {tuple(row): name for row, name in zip(x.astype("float32"), y, strict=True)}
    names = [rows[tuple(row)] for row in xs.numpy()]
    assert names == [order[i] for i in ys.numpy()]
    config = mlp.Config(task="ordinal", class_order=("low", "high"))
    with pytest.raises(RefusedError, match="expected each of 'high', 'low', 'mid'"):
        ks.datasets.from_arrays(x, y, config)


def test_splits_have_the_same_share_of_each_tenth_of_a_target():
    labels = np.random.default_rng(0).lognormal(size=(1000, 1)).astype("float32")
    part = splits.parts_of(splits.strata(labels), ["test"], 0.2)
    tenths = splits.strata(labels)
    counts = [(part[tenths == tenth] == 2).sum() for tenth in range(10)]
    assert min(counts) == max(counts) == 20


def test_a_third_party_recipe_is_given_classes_alone(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + "".join(f"{i}.5,{i}.25\n" for i in range(40)))
    config = ks.load_recipe("mlp").Config(dataset=f"csv:{path}", label="y")
    with pytest.raises(RefusedError, match=r"whole number|class"):
        ks.datasets.from_config(config, kinds=("vector",))


def test_packed_data_says_what_it_does_not_carry(tmp_path):
    config = ks.load_recipe("mlp").Config(
        dataset="digits", pack="always", task="regression"
    )
    with pytest.raises(RefusedError, match="task: expected a task of classes, or csv:"):
        ks.load_recipe("mlp").make_datasets(config)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("val_rmse", "min"),
        ("mae", "min"),
        ("val_loss", "min"),
        ("val_auc", "max"),
        ("r2", "max"),
        ("kappa", "max"),
        ("average_precision", "max"),
    ],
)
def test_each_metric_has_a_direction(name, expected):
    assert direction(name) == expected


def test_a_metric_that_nobody_knows_has_none():
    assert direction("shine") is None


def test_pictures_have_targets_beside_them(tmp_path):
    import PIL.Image

    rows = ["file,age,smiles"]
    for i in range(24):
        folder = tmp_path / f"day{i % 2}"
        folder.mkdir(exist_ok=True)
        pixels = np.full((8, 8), i * 10, np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i}.png")
        rows.append(f"day{i % 2}/{i}.png,{i}.5,{i % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    cnn = ks.load_recipe("cnn")
    found = cnn.make_datasets(cnn.Config(dataset=f"images:{tmp_path}", label="age"))
    assert found.info.task == "regression"
    x, y = next(iter(found.test.for_evaluation().dataset()))
    np.testing.assert_array_equal(x[:, 0, 0, 0].numpy() / 10 + 0.5, y[:, 0])
    (tmp_path / "day1" / "1.png").unlink()
    with pytest.raises(RefusedError, match=r"row 1.*1.png', which is no file"):
        cnn.make_datasets(cnn.Config(dataset=f"images:{tmp_path}", label="age"))


def test_records_have_floats_for_labels(tmp_path):
    import tensorflow as tf

    for name, size in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        with tf.io.TFRecordWriter(str(folder / "data.tfrecord")) as writer:
            for i in range(40):
                value = [i + 0.5, float(-i)][:size]
                floats = {"x": [float(i), 1.0], "label": value}
                feature = {
                    k: tf.train.Feature(float_list=tf.train.FloatList(value=v))
                    for k, v in floats.items()
                }
                features = tf.train.Features(feature=feature)
                example = tf.train.Example(features=features)
                writer.write(example.SerializeToString())
        mlp = ks.load_recipe("mlp")
        found = mlp.make_datasets(mlp.Config(dataset=f"tfrecord:{folder}"))
        assert found.info.task == "regression"
        assert len(found.info.target_names) == size
        x, y = next(iter(found.test.for_evaluation().dataset()))
        np.testing.assert_array_equal(y[:, 0], x[:, 0] + 0.5)
    schema = {
        "label": {"name": "label", "type": "float", "shape": [2]},
        "features": {"x": {"type": "float", "shape": [2]}},
    }
    (folder / "schema.json").write_text(json.dumps(schema))
    found = mlp.make_datasets(mlp.Config(dataset=f"tfrecord:{folder}"))
    assert found.info.num_outputs == 2


def test_a_data_frame_is_a_table():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": np.where(random.random(60) < 0.2, np.nan, random.normal(size=60)),
            "city": pd.Categorical(random.choice(["Bonn", "Kiel"], 60)),
            "day": pd.Timestamp("2020-02-28") + pd.to_timedelta(range(60), "D"),
            "works": random.random(60) < 0.5,
        }
    )
    mlp = ks.load_recipe("mlp")
    y = pd.Series(random.normal(size=60))
    found = ks.datasets.from_arrays(frame, y, mlp.Config())
    kinds = [column["kind"] for column in found.info.columns]
    assert kinds == ["number", "category", "date", "boolean"]
    assert found.info.task == "regression"
    x, target = next(iter(found.test.for_evaluation().dataset()))
    rows = {float(np.float32(v)): i for i, v in enumerate(y)}
    places = [rows[float(v)] for v in target[:, 0]]
    expected = frame["size"].to_numpy()[places]
    np.testing.assert_array_equal(x[:, 0], expected.astype("float32"))
    other = frame.drop(columns="city")
    with pytest.raises(RefusedError, match="validation: expected the columns"):
        ks.datasets.from_arrays(frame, y, mlp.Config(), validation=(other, y))
