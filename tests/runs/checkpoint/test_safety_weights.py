"""A `.weights.h5` file of somebody else: refused, or harmless (row 20)."""

import h5py
import keras
import numpy as np
import pytest

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import refuse_unsafe_weights


@pytest.fixture
def path(tmp_path):
    """What Keras writes."""
    path = tmp_path / "model.weights.h5"
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(2, dtype="bfloat16"),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.BatchNormalization(),
        ]
    )
    model.compile("adam", "mse")
    model.save_weights(path)
    return path


def test_what_keras_writes_passes(path):
    refuse_unsafe_weights(path)


@pytest.fixture
def secret(tmp_path):
    """A file that the weights should not give away."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = np.arange(4.0)
    return str(tmp_path / "secret.h5")


def _external_link(file, secret):
    file["layers/harm"] = h5py.ExternalLink(secret, "/data")


def _soft_link(file, secret):
    file["layers/harm"] = h5py.SoftLink("/layers/dense")


def _external_storage(file, secret):
    file.create_dataset("layers/harm", (4,), "f8", external=[(secret, 0, 32)])


def _virtual(file, secret):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(secret, "data", (4,))
    file.create_virtual_dataset("layers/harm", layout)


def _bomb(file, secret):
    file.create_dataset("layers/harm", (2**40,), "f4", chunks=(2**20,))


def _deflated_bomb(file, secret):
    file.create_dataset(
        "layers/harm",
        data=np.zeros(2**25, "f4"),
        chunks=(2**22,),
        compression="gzip",
    )


def _objects(file, secret):
    file.create_dataset("layers/harm", (2,), h5py.string_dtype())


def _model(file, secret):
    file.attrs["model_config"] = "{}"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_external_link, r"a link to another file at /layers/harm: .*secret.h5"),
        (_soft_link, r"a link at /layers/harm \(SoftLink\)"),
        (_external_storage, r"an array in another file, .*secret.h5"),
        (_virtual, "an array made of other files at /layers/harm"),
        (_bomb, "an array that claims 4398046511104 bytes and stores 0"),
        (_deflated_bomb, r"an array that claims 134217728 bytes and stores \d+,"),
        (_objects, "an array of Python objects at /layers/harm"),
        (_model, "a whole model, which can hold code"),
    ],
)
def test_more_than_arrays(path, secret, harm, message):
    with h5py.File(path, "r+") as file:
        harm(file, secret)
    with pytest.raises(RefusedError, match=message) as caught:
        refuse_unsafe_weights(path)
    assert f"weights: expected arrays alone. Received: {path}" in str(caught.value)


def test_circles_end(path):
    with h5py.File(path, "r+") as file:
        file["layers/again"] = file["layers"]
    refuse_unsafe_weights(path)


def test_size(path):
    with pytest.raises(RefusedError, match=r"arrays of \d+ bytes, where 50 are allow"):
        refuse_unsafe_weights(path, max_bytes=50)


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated(path, kept):
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else kept])
    with pytest.raises(RefusedError, match="no HDF5 that can be read"):
        refuse_unsafe_weights(path)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.pkl"])
def test_other_names(path, name):
    with pytest.raises(RefusedError, match=r"expected a .weights.h5 file. Received"):
        refuse_unsafe_weights(path.rename(path.with_name(name)))


def test_missing(tmp_path):
    with pytest.raises(RefusedError, match="no HDF5 that can be read"):
        refuse_unsafe_weights(tmp_path / "missing.weights.h5")
