"""A `.keras` file of somebody else: refused, or harmless (row 20)."""

import contextlib
import json
import os
import stat
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import refuse_unsafe_keras_file, safety


def _compiled():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "relu")])
    rate = keras.optimizers.schedules.CosineDecay(0.1, 100)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(rate), loss, metrics=["accuracy"])
    model.fit(np.zeros((2, 4)), np.zeros(2), verbose=0)
    return model


def _operations():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 3, kernel_regularizer="l2", dtype="mixed_float16")(
        inputs
    )
    x = keras.layers.BatchNormalization()(x)
    x = keras.ops.relu(x) + keras.ops.mean(x, axis=-1, keepdims=True)
    x = keras.layers.Activation(keras.activations.gelu)(x)
    return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x))


def _text():
    vectorizer = keras.layers.TextVectorization(vocabulary=["a", "b"])
    text = keras.Input((), dtype="string")
    x = keras.layers.Embedding(4, 3, mask_zero=True)(vectorizer(text))
    return keras.Model(text, keras.layers.Bidirectional(keras.layers.LSTM(2))(x))


def _nested():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    inputs = keras.Input((4,))
    attention = keras.layers.MultiHeadAttention(1, 2)
    x = keras.layers.Reshape((1, 4))(inner(inputs) + inputs)
    return keras.Model(inputs, keras.layers.Flatten()(attention(x, x)))


def _ours():
    from kerascale import layers

    inputs = keras.Input((4,))
    x = layers.Dropout(0.5, seed=1)(keras.layers.Dense(3)(inputs))
    return keras.Model(inputs, x)


@pytest.mark.parametrize("make", [_compiled, _operations, _text, _nested, _ours])
def test_what_keras_writes_passes(tmp_path, make):
    path = tmp_path / "model.keras"
    make().save(path)
    refuse_unsafe_keras_file(path)
    keras.saving.load_model(path)


@keras.saving.register_keras_serializable(package="mine")
class _Mine(keras.layers.Layer):
    pass


def test_a_class_that_is_registered_here_passes(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), _Mine()]).save(path)
    with pytest.raises(RefusedError, match=r"module 'test_safety' \(for '_Mine'\)"):
        refuse_unsafe_keras_file(path)
    refuse_unsafe_keras_file(path, registered=keras.saving.get_custom_objects())


# --- Configurations -----------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "plain.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    return path


def _members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def rewrite(plain, tmp_path):
    """Writes a `.keras` file with some members of its own."""

    def write(changes=(), more=(), compression=zipfile.ZIP_STORED):
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, data in {**_members(plain), **dict(changes)}.items():
                if data is not None:
                    archive.writestr(name, data)
            for name, data in more:
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture
def with_layer(plain, rewrite):
    """Writes a `.keras` file whose second layer has another configuration."""

    def write(**changes):
        config = json.loads(_members(plain)["config.json"])
        config["config"]["layers"][1].update(changes)
        return rewrite({"config.json": json.dumps(config)})

    return write


def _function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def _activation(value):
    return {"config": {"name": "d", "units": 2, "activation": value}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "Lambda"}, "class_name 'Lambda', which runs code"),
        (
            {"module": "keras.src.layers.core.lambda_layer", "class_name": "Lambda"},
            "class_name 'Lambda'",
        ),
        ({"registered_name": "mine>Lambda"}, "registered_name 'mine>Lambda'"),
        ({"class_name": "keras.layers.Lambda"}, r"'keras\.layers\.Lambda'"),
        ({"class_name": "TFSMLayer"}, "class_name 'TFSMLayer'"),
        ({"class_name": "TorchModuleWrapper"}, "class_name 'TorchModuleWrapper'"),
        ({"class_name": "JaxLayer"}, "class_name 'JaxLayer'"),
        (
            _activation({"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}),
            "class_name '__lambda__', which runs code",
        ),
        ({"config": {"function_type": "lambda"}}, "function_type 'lambda', which is"),
        ({"module": "os", "class_name": "system"}, r"module 'os' \(for 'system'\)"),
        ({"module": "builtins", "class_name": "eval"}, "module 'builtins'"),
        ({"module": "kerasx.layers"}, "module 'kerasx.layers'"),
        ({"module": "tensorflow.io"}, "module 'tensorflow.io'"),
        ({"module": 7}, "a module that is no text: 7"),
        (_activation(_function("os", "system")), r"module 'os' \(for 'system'\)"),
        (_activation(_function("keras.utils", "get_file")), "module 'keras.utils'"),
        # The same function, named as if it were a class.
        ({"module": "keras.utils", "class_name": "get_file"}, "for 'get_file'"),
        (
            _activation(_function("keras.config", "enable_unsafe_deserialization")),
            "module 'keras.config'",
        ),
        (_activation(_function("keras.models", "load_model")), "for 'load_model'"),
        ({"module": "keras.models", "class_name": "load_model"}, "for 'load_model'"),
        (
            {"config": {"deep": [{"list": [{"module": "subprocess"}]}]}},
            "module 'subprocess'",
        ),
        ({"config": {"vocabulary": "/etc/passwd"}}, "another file: '/etc/passwd'"),
    ],
)
def test_configuration(with_layer, changes, message):
    with pytest.raises(RefusedError, match=message) as caught:
        refuse_unsafe_keras_file(with_layer(**changes))
    assert "expected a model made of Keras' own parts. Received: " in str(caught.value)


def test_all_that_is_wrong_is_told(with_layer):
    layers = [{"module": f"m{index}"} for index in range(30)]
    with pytest.raises(RefusedError, match="11 problems") as caught:
        refuse_unsafe_keras_file(with_layer(config=layers))
    assert "and 20 more" in str(caught.value)


def test_a_lambda_does_not_run(tmp_path):
    marker = tmp_path / "marker"

    def harm(x, path=str(marker)):
        open(path, "w").close()
        return x

    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Lambda(lambda x: harm(x))]
    )
    marker.unlink(missing_ok=True)
    for name in ("model.keras", "model.h5", "model.hdf5"):
        model.save(tmp_path / name)
        expected = "which runs code" if name.endswith("keras") else "an HDF5 file"
        with pytest.raises(RefusedError, match=expected):
            refuse_unsafe_keras_file(tmp_path / name)
    assert not marker.exists()


# --- Archives -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../harm",
        "/tmp/harm",
        "assets/../../harm",
        "assets\\..\\harm",
        "C:/harm",
        "./config.json",
        "assets//harm",
        "..",
    ],
)
def test_members_elsewhere(rewrite, tmp_path, name):
    path = rewrite(more=[(name, b"harm")])
    with pytest.raises(RefusedError, match="that names a place elsewhere"):
        refuse_unsafe_keras_file(path)
    assert not list(tmp_path.parent.rglob("harm"))


def test_a_name_that_is_cut_at_a_nul(rewrite):
    path = rewrite(more=[("config.jsonX.txt", b"{}")])
    data = path.read_bytes().replace(b"config.jsonX.txt", b"config.json\0.txt")
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=r"x00.txt' that (is there twice|names a)"):
        refuse_unsafe_keras_file(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice(rewrite):
    path = rewrite(more=[("config.json", b"{}")])
    with pytest.raises(RefusedError, match=r"'config\.json' that is there twice"):
        refuse_unsafe_keras_file(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_member_that_is_a_link(rewrite, kind):
    member = zipfile.ZipInfo("assets/passwd")
    member.external_attr = (kind | 0o777) << 16
    path = rewrite(more=[(member, b"/etc/passwd")])
    with pytest.raises(RefusedError, match="that is a link or a device"):
        refuse_unsafe_keras_file(path)


def test_bombs(rewrite, monkeypatch):
    path = rewrite(
        more=[("assets/bomb", bytes(20 * 2**20))], compression=zipfile.ZIP_DEFLATED
    )
    with pytest.raises(RefusedError, match=r"that grows from \d+ to 20971520 bytes"):
        refuse_unsafe_keras_file(path)
    with pytest.raises(RefusedError, match=r"would become \d+ bytes, where 1000000"):
        refuse_unsafe_keras_file(path, max_bytes=10**6)
    path = rewrite(more=[(f"assets/{index}", b"") for index in range(10_000)])
    with pytest.raises(RefusedError, match="has 10003 members, where 10000"):
        refuse_unsafe_keras_file(path)
    monkeypatch.setattr(safety, "_LARGEST_JSON", 100)
    with pytest.raises(RefusedError, match=r"config.json of \d+ bytes, where 100"):
        refuse_unsafe_keras_file(rewrite())


def test_a_model_that_was_compressed_again_passes(rewrite):
    path = rewrite(compression=zipfile.ZIP_DEFLATED)
    refuse_unsafe_keras_file(path)
    keras.saving.load_model(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": None}, "has no config.json"),
        ({"config.json": b"harm"}, "config.json that is not JSON"),
        ({"config.json": b"\xff\xfe{"}, "config.json that is not JSON"),
        ({"config.json": b"[" * 10**5}, "config.json that is not JSON"),
        ({"model.weights.h5": None}, "has no model.weights.h5"),
        ({"model.weights.h5": b"harm"}, "no HDF5 that can be read"),
    ],
)
def test_missing_and_damaged_members(rewrite, changes, message):
    with pytest.raises(RefusedError, match=message):
        refuse_unsafe_keras_file(rewrite(changes))


def test_weights_are_looked_at(rewrite, tmp_path):
    with h5py.File(tmp_path / "weights", "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    path = rewrite({"model.weights.h5": (tmp_path / "weights").read_bytes()})
    with pytest.raises(RefusedError, match=r"has in model.weights.h5 a link to anot"):
        refuse_unsafe_keras_file(path)


def test_an_encrypted_member(rewrite):
    path = rewrite()
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(RefusedError, match="that is encrypted"):
        refuse_unsafe_keras_file(path)


def test_other_paths(tmp_path, plain):
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "text.keras").write_text("hello")
    for name, message in {
        "folder.keras": "which is a folder",
        "missing.keras": "which is none",
        "model.pkl": "which is none",
        "text.keras": "is damaged",
    }.items():
        with pytest.raises(RefusedError, match=message):
            refuse_unsafe_keras_file(tmp_path / name)
    os.truncate(tmp_path / "text.keras", 0)
    with pytest.raises(RefusedError, match="is damaged"):
        refuse_unsafe_keras_file(tmp_path / "text.keras")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8), st.booleans()
)
def test_bytes_changed_anywhere_are_refused_or_pass(plain, tmp_path, place, data, end):
    content = plain.read_bytes()
    # The weights are much of the file; the directory of the archive is at its end.
    start = int(place * 600) + (len(content) - 600 if end else 0)
    path = tmp_path / "changed.keras"
    path.write_bytes(content[:start] + data + content[start + len(data) :])
    with contextlib.suppress(RefusedError):  # Nothing else.
        refuse_unsafe_keras_file(path)
