"""Arrays, in memory or in an .npz file, are checked before anybody trains on them."""

import io
import re
import zipfile

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerascale.datasets.sources.arrays import from_numpy
from kerascale.datasets.sources.npz_source import load_npz, read_features
from kerascale.errors import RefusedError

X = np.arange(12, dtype=np.float64).reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
PIXELS = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)


def save(tmp_path, **arrays) -> str:
    path = str(tmp_path / "data.npz")
    np.savez(path, **arrays)
    return path


def test_x_and_y(tmp_path):
    path = save(tmp_path, x=X, y=Y[:, None])
    data = load_npz(path)
    assert (data.kind, data.name) == ("vector", f"npz:{path}")
    assert data.class_names == ("0", "1", "2")
    assert data.train.features.dtype == np.float32
    np.testing.assert_array_equal(data.train.features, X)
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, Y)
    assert data.validation is data.test is None
    assert load_npz(path, 7).class_names[-1] == "6"


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_keras_names(tmp_path, validation):
    path = save(
        tmp_path,
        **{"x_train": PIXELS, "y_train": Y, "x_test": PIXELS[:2], "y_test": Y[:2]},
        **{f"x_{validation}": PIXELS[:3], f"y_{validation}": Y[:3]},
    )
    data = load_npz(path)
    assert data.kind == "image"
    assert data.train.features.shape == (6, 4, 5, 1)
    assert data.train.features.dtype == np.uint8
    assert (len(data.test), len(data.validation)) == (2, 3)


@pytest.mark.parametrize(
    ("x", "kind", "shape", "dtype"),
    [
        (np.ones((6, 3)), "vector", (3,), "float32"),
        (np.ones((6, 3), np.float16), "vector", (3,), "float32"),
        (np.ones((6, 3), bool), "vector", (3,), "float32"),
        (np.full((6, 3), 2**40), "vector", (3,), "float32"),
        # Rank 3: an image where the dtype is an integer, else a series.
        (np.ones((6, 4, 5)), "vector", (4, 5), "float32"),
        (np.full((6, 4, 5), 255, np.int64), "image", (4, 5, 1), "uint8"),
        (np.ones((6, 4, 5, 1), np.uint8), "image", (4, 5, 1), "uint8"),
        (np.ones((6, 4, 5, 3)), "image", (4, 5, 3), "float32"),
        (np.ones((6, 4, 5, 4), np.uint8), "image", (4, 5, 4), "uint8"),
        (["a", "bc", "d", "e", "f", "g"], "text", (), "object"),
        (np.array(["a", "bc", "d", "e", "f", "g"]), "text", (), "object"),
        (pd.Series(["a", "bc", "d", "e", "f", "g"]), "text", (), "object"),
        ([[1, 2]] * 6, "vector", (2,), "float32"),
    ],
)
def test_kinds(x, kind, shape, dtype):
    data = from_numpy(x, Y)
    assert data.kind == kind
    assert data.train.features.shape == (6, *shape)
    assert data.train.features.dtype == dtype
    if kind == "text":
        assert all(type(text) is str for text in data.train.features)


def test_no_copy_where_none_is_needed():
    x = np.ones((6, 4, 5, 3), np.float32)
    assert np.shares_memory(from_numpy(x, Y).train.features, x)


def test_class_names_and_splits():
    data = from_numpy(
        X, Y, validation=(X[:2], Y[:2]), test=[X, Y], class_names=["a", "b", "c"]
    )
    assert data.class_names == ("a", "b", "c")
    assert (len(data.validation), len(data.test)) == (2, 6)
    assert data.name == "arrays"


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.ones(6), r"Received: x of shape \(6,\) and float64. Pass x\[:, None\]"),
        (np.ones((6, 1, 1, 1, 1)), r"Expected features of shape .* \(6, 1, 1, 1, 1\)"),
        (np.ones((0, 3)), r"at least one example. Received: x of shape \(0, 3\)"),
        (np.ones((6, 0)), r"at least one example. Received: x of shape \(6, 0\)"),
        (np.ones((6, 3), complex), "Expected numbers or text. .* complex128"),
        (np.ones((6, 3), "datetime64[s]"), "Expected numbers or text. .* datetime64"),
        (np.array([b"a"] * 6), r"Expected numbers or text. .* \|S1"),
        (np.ones((6, 8, 5, 2)), r"1, 3 or 4 channels. .*\(6, 8, 5, 2\). Drop or join"),
        (np.ones((6, 3, 8, 9)), r"Channels come last: pass np.moveaxis\(x, 1, -1\)"),
        (np.full((6, 4, 5), 256), r"integer pixels in 0..255. .* in 256..256. Divide"),
        (np.full((6, 4, 5), -1), r"integer pixels in 0..255. .* in -1..-1. Divide"),
        ([[1, 2], [3]], "rows are equally long. Received: list"),
        (["a", "b", 3, "d", "e", None], r"x\[2\]: expected a str.* Received: int"),
        (["a", " ", "c", "d", "e", "f"], r"x\[1\]: expected text. Received: ' '"),
        (np.array([["a"], ["b"]] * 3), r"texts of shape \(examples,\).*\(6, 1\)"),
    ],
)
def test_features_that_are_refused(x, match):
    with pytest.raises(RefusedError, match=match):
        from_numpy(x, Y)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (np.eye(3)[Y], r"shape \(6, 3\).* If it is one-hot, pass y.argmax\(axis=1\)"),
        (np.zeros((6, 1, 1), int), r"labels of shape \(examples,\).* \(6, 1, 1\)"),
        (Y.astype(float), r"integer labels.* float64. Pass y.astype\('int64'\)"),
        (np.array([b"a", b"b"] * 3), r"integer labels.* Pass np.unique\(y, return_inv"),
        (np.array(["a", "b", " "] * 2), r"y\[2\]: expected one of .* Received: ' '"),
        (np.array([["a", "b"]] * 6), r"labels of shape \(examples,\).* \(6, 2\)"),
        (Y[:4], "one label for each example. Received: 6 in x and 4 in y"),
        (np.zeros(6, int), "arrays, y: .* at least 2 classes. Received: 1"),
        ([0, 1, -2, 0, 1, 3], r"y\[2\]: expected a label in 0..3. Received: -2"),
        ([0, 1, 2, 0, 1, 2**50], r"count from 0, as .* y\[5\] = 1125899906842624"),
        (
            np.array([0, 1, 2, 0, 1, 2**63 + 1], np.uint64),
            r"y\[5\] = 9223372036854775809 among 6",
        ),
    ],
)
def test_labels_that_are_refused(y, match):
    with pytest.raises(RefusedError, match=match):
        from_numpy(X, y)


@pytest.mark.parametrize("form", [np.array, list, lambda y: np.array(y, object)])
def test_names_of_classes_as_labels(form, tmp_path):
    names = ["dog", "cat", "dog", "emu", "cat", "dog"]
    data = from_numpy(X, form(names), test=(X[:2], form(["emu", "cat"])))
    assert data.class_names == ("cat", "dog", "emu")
    assert data.train.labels.tolist() == [1, 0, 1, 2, 0, 1]
    assert data.test.labels.tolist() == [2, 0]
    order = ("emu", "dog", "cat", "owl")
    data = from_numpy(X, form(names), class_names=order)
    assert (data.class_names, data.train.labels[0]) == (order, 1)
    with pytest.raises(
        RefusedError,
        match=r"test\[1\]\[1\]: expected one of 'cat', 'dog', 'emu', as the training "
        r"examples have. Received: 'owl'",
    ):
        from_numpy(X, form(names), test=(X[:2], form(["emu", "owl"])))
    with pytest.raises(RefusedError, match=r"labels of 2 classes. Received: y with 3"):
        from_numpy(X, form(names), num_classes=2)
    path = save(tmp_path, x=X, y=np.array(names))
    assert load_npz(path).class_names == ("cat", "dog", "emu")


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32"])
def test_minus_one_and_one_are_two_classes(dtype):
    y = np.array([-1, 1, 1, -1, -1, 1], dtype)
    data = from_numpy(X, y[:, None], validation=(X[:2], y[:2]))
    assert data.class_names == ("-1", "1")
    assert data.train.labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert data.validation.labels.tolist() == [0, 1]
    assert from_numpy(X, y, class_names=("no", "yes")).class_names == ("no", "yes")
    with pytest.raises(
        RefusedError, match=r"validation\[1\]\[1\]: expected one of -1, 1"
    ):
        from_numpy(X, y, validation=(X[:2], np.array([1, 0])))


def test_a_value_to_predict_is_no_class():
    x, y = np.zeros((60, 2)), np.arange(60) * 2
    with pytest.raises(
        RefusedError,
        match=r"arrays: y: expected classes as labels.*60 distinct whole numbers in "
        "60 examples.*Pass --task regression.*pass num_classes",
    ):
        from_numpy(x, y)
    assert len(from_numpy(x, y, num_classes=120).class_names) == 120
    assert len(from_numpy(x, y // 4).class_names) == 30


def test_labels_and_num_classes():
    y = np.array([0, 3, 1, -1, 2, 9])
    with pytest.raises(
        RefusedError, match="arrays cannot be used: 3 problems"
    ) as error:
        from_numpy(X, y, num_classes=3)
    for i, problem in zip((1, 3, 5), error.value.problems, strict=True):
        assert problem.startswith(
            f"y[{i}]: expected a label in 0..2. Received: {y[i]}."
        )
    with pytest.raises(
        RefusedError, match=r"num_classes=3 class names. .*: 2: 'a', 'b'"
    ):
        from_numpy(X, Y, class_names=["a", "b"], num_classes=3)
    with pytest.raises(RefusedError, match=r"y\[2\]: expected a label in 0..1"):
        from_numpy(X, Y, class_names=["a", "b"])
    with pytest.raises(RefusedError, match="distinct class names"):
        from_numpy(X, Y, class_names=["a", "a", "b"])
    with pytest.raises(
        RefusedError, match=r"Expected test=\(x, y\). Received: ndarray"
    ):
        from_numpy(X, Y, test=X)


@hypothesis.given(
    hnp.array_shapes(min_dims=2, max_dims=4, max_side=4),
    st.sampled_from([np.nan, np.inf, -np.inf, 1e39]),
    st.data(),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_one_bad_value_is_named_exactly(shape, bad, data):
    x = np.zeros((6, *shape[1:-1], 3))
    place = tuple(data.draw(st.integers(0, side - 1)) for side in x.shape)
    x[place] = bad
    text = ", ".join(map(str, place))
    why = "too large for float32" if bad == 1e39 else "not finite"
    with pytest.raises(
        RefusedError,
        match=re.escape(
            f"x[{text}]: expected a finite number. Received: {bad}, which is {why}. "
            f"Correct or remove example {place[0]}."
        ),
    ):
        from_numpy(x, Y)


@hypothesis.given(hnp.arrays(np.int64, 6, elements=st.integers(-3, 6)))
@hypothesis.settings(max_examples=60, deadline=None)
def test_labels_pass_only_in_their_range(y):
    bad = [i for i, label in enumerate(y) if not 0 <= label < 4]
    try:
        labels = from_numpy(X, y, num_classes=4).train.labels
    except RefusedError as error:
        named = [int(i) for i in re.findall(r"y\[(\d)\]", str(error))]
        assert named == bad or (not bad and len(set(y)) == 1)
    else:
        assert not bad
        np.testing.assert_array_equal(labels, y)


def test_every_problem_of_every_split_at_once():
    x = X.copy()
    x[4, 1] = np.nan
    with pytest.raises(RefusedError, match="5 problems") as error:
        from_numpy(
            x,
            Y,
            validation=(X[:, :1], Y[:5]),
            test=(X, Y + 1),
            num_classes=3,
            name="me",
        )
    found = "\n".join(error.value.problems)
    assert re.search(r"x\[4, 1\]: expected a finite number. Received: nan", found)
    assert re.search(r"6 in validation\[0\] and 5 in validation\[1\]", found)
    assert re.search(r"test\[1\]\[2\]: expected a label in 0..2. Received: 3", found)
    with pytest.raises(
        RefusedError, match=r"those in x: shape \(2,\), float32. .*shape \(1,\)"
    ):
        from_numpy(X, Y, test=(X[:, :1], Y))


def test_many_bad_values_are_counted():
    with pytest.raises(RefusedError, match="and 80 more") as error:
        from_numpy(np.full((50, 2), np.nan), np.arange(50) % 2)
    assert len(error.value.problems) == 21


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ("a b", r"Expected the arrays 'x' and 'y', or 'x_train' .* Received: 'a', 'b'"),
        ("x_test y_test", "Expected the arrays 'x' and 'y'.* 'x_test', 'y_test'"),
        ("x", "'x' and 'y' together. Received: no 'y' among 'x'"),
        ("x y x_test", "'x_test' and 'y_test' together. Received: no 'y_test'"),
        ("x y x_val y_val x_validation y_validation", "one validation split"),
    ],
)
def test_keys(tmp_path, keys, match):
    path = save(tmp_path, **{key: Y if "y" in key else X for key in keys.split()})
    with pytest.raises(RefusedError, match=match):
        load_npz(path)


def test_other_keys_are_said(tmp_path, capsys):
    path = save(tmp_path, x=X, y=Y, x_valid=X, note=np.array({}, dtype=object))
    assert len(load_npz(path).train) == 6
    assert f"{path}: ignored the arrays 'note', 'x_valid'" in capsys.readouterr().err


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    path = save(tmp_path, x=np.array([Trap()] * 6, dtype=object), y=Y)
    with pytest.raises(
        RefusedError, match=r"'x'. Received: an array of Python objects"
    ):
        load_npz(path)
    assert not (tmp_path / "sprung").exists()


def test_damaged_files(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=X, y=Y)
    content = path.read_bytes()
    for size in (10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(RefusedError, match="damaged or truncated"):
            load_npz(str(path))
    flipped = bytearray(content)
    flipped[60] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(
        RefusedError, match=r"expected the array 'x'. Received: damaged"
    ):
        load_npz(str(path))
    path.write_bytes(b"hello")
    with pytest.raises(RefusedError, match=r"a zip archive. .* starts with b'hello'"):
        load_npz(str(path))
    path.write_bytes(b"")
    with pytest.raises(RefusedError, match="starts with b''"):
        load_npz(str(path))
    array = io.BytesIO()
    np.save(array, X)
    path.write_bytes(array.getvalue())
    with pytest.raises(RefusedError, match=r"an .npy file with one array. Write both"):
        load_npz(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "text")
        archive.writestr("y", "text")
    with pytest.raises(RefusedError, match="Received: 'x', which is another file"):
        load_npz(str(path))
    with pytest.raises(RefusedError, match=r"an .npz file. Received: .*not exist"):
        load_npz(str(tmp_path / "missing.npz"))


def test_features_for_a_prediction(tmp_path):
    for keys in ({"x": X, "y": Y}, {"x_test": X, "x_train": X[:1]}, {"anything": X}):
        features = read_features(save(tmp_path, **keys), "vector", (2,))
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features, X)
    floats = save(tmp_path, x=PIXELS / 255)
    assert read_features(floats, "image", (4, 5, 1)).shape == (6, 4, 5, 1)
    assert read_features(floats, "vector", (4, 5)).shape == (6, 4, 5)
    texts = save(tmp_path, x=np.array(["a", "bc"]))
    assert read_features(texts, "text", ()).tolist() == ["a", "bc"]


def test_features_that_differ_from_training(tmp_path):
    path = save(tmp_path, x=X)
    with pytest.raises(
        RefusedError,
        match=r"as in training: vector of shape \(3,\). Received: 'x' with vector of "
        r"shape \(2,\)",
    ):
        read_features(path, "vector", (3,))
    with pytest.raises(RefusedError, match=r"training: text of shape \(\). Received"):
        read_features(path, "text", ())
    path = save(tmp_path, x=PIXELS / 255)
    with pytest.raises(
        RefusedError, match=r"\(4, 5, 1\) and uint8. Received.* and float32"
    ):
        read_features(path, "image", (4, 5, 1), "uint8")
    path = save(tmp_path, a=X, b=X)
    with pytest.raises(
        RefusedError, match=r"'x' or 'x_test', or one array only. .*'a'"
    ):
        read_features(path, "vector", (2,))
    path = save(tmp_path, x=np.full((2, 2), np.nan))
    with pytest.raises(RefusedError, match=r"x\[0, 0\]: expected a finite number"):
        read_features(path, "vector", (2,))
