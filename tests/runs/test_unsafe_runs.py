"""A run folder, or weights, from somebody who means harm: refused, nothing executed."""

import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from kerascale.cli import main

_FAULT = "an untrusted model file in a run folder, or for --init-from"
_EXPECTED = "refused, or without effect"
pytestmark = pytest.mark.fault(20, _FAULT, _EXPECTED)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["train", "mlp", "--epochs", "1", "--units", "8"]
    assert main([*arguments, "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture
def run(finished, command):
    """A run folder to tamper with."""
    return shutil.copytree(finished, command.folder / "run")


@pytest.fixture
def harm(tmp_path, monkeypatch):
    """A module that leaves a file when it is imported."""
    marker = tmp_path / "harmed"
    (tmp_path / "harmful.py").write_text(
        f"import keras\nopen({str(marker)!r}, 'w').close()\n"
        "class Layer(keras.layers.Layer):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return marker


def _save_lambda(path, marker):
    def layer(x, place=str(marker)):
        open(place, "w").close()
        return keras.ops.reshape(x, (-1, 64))[:, :10]

    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Lambda(lambda x: layer(x))(inputs)
    keras.Model(inputs, outputs).save(path)
    marker.unlink()


def _save_module(path, marker):
    """A layer of a module that only has to be found by Python."""
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(path)
    _change(path, {"module": "harmful", "class_name": "Layer"})


def _save_link(path, marker):
    """Weights that are those of another file of this host."""
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(path)
    weights = path.parent / "weights"
    with h5py.File(weights, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    _rewrite(path, {"model.weights.h5": weights.read_bytes()})
    weights.unlink()


def _save_path(path, marker):
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(path)
    _rewrite(path, {"../harmed": b"harm"})


def _save_bomb(path, marker):
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]).save(path)
    _rewrite(path, {"assets/bomb": bytes(20 * 2**20)})


def _change(path, changes):
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][-1].update(changes, registered_name=None)
    _rewrite(path, {"config.json": json.dumps(config)})


def _rewrite(path, changes):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members, **changes}.items():
            archive.writestr(name, content)


_FILES = {
    "a Lambda": (_save_lambda, "class_name 'Lambda', which runs code"),
    "a module to import": (_save_module, "module 'harmful' (for 'Layer')"),
    "HDF5 links": (_save_link, "a link to another file"),
    "members elsewhere": (_save_path, "'../harmed' that names a place elsewhere"),
    "a bomb": (_save_bomb, "that grows from"),
}


@pytest.mark.parametrize("kind", _FILES)
def test_a_model_in_a_run_folder(command, run, harm, seen, kind):
    save, message = _FILES[kind]
    save(run / "model.keras", harm)
    np.savez(command.folder / "x.npz", x=np.zeros((1, 8, 8, 1), "uint8"))
    for arguments in (
        ["evaluate", run],
        ["predict", run, "--input", "x.npz", "--output", "y.csv"],
        ["export", run, "served"],
    ):
        text = command.refused(*arguments)
        assert message in text
        assert str(run / "model.keras") in text
    assert not harm.exists()
    seen(f"{kind}: exit 2")


@pytest.mark.parametrize("kind", ["HDF5 links", "members elsewhere", "a bomb"])
def test_weights_to_start_from(command, harm, seen, kind):
    save, message = _FILES[kind]
    save(command.folder / "theirs.keras", harm)
    text = command.refused("train", "mlp", "--init-from", "theirs.keras")
    assert message in text
    assert not harm.exists()
    seen(f"--init-from with {kind}: exit 2")


@pytest.mark.parametrize("kind", ["a Lambda", "a module to import"])
def test_only_arrays_are_read_of_weights_to_start_from(
    command, finished, harm, seen, kind
):
    """What its configuration names has no effect: the weights are those of the run."""
    theirs = command.folder / "theirs.keras"
    _FILES[kind][0](theirs, harm)
    with zipfile.ZipFile(finished / "model.keras") as archive:
        _rewrite(theirs, {"model.weights.h5": archive.read("model.weights.h5")})
    arguments = ["--epochs", 0, "--units", 8, "--run-dir", "tuned"]
    answer = command("train", "mlp", *arguments, "--init-from", theirs)
    assert answer.code == 0, answer.text
    assert _metrics(command.folder / "tuned") == _metrics(finished)
    assert not harm.exists()
    seen(f"--init-from with {kind}: without effect")


def _metrics(folder):
    return json.loads((folder / "evaluation.json").read_text())


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_whole_models_in_hdf5(command, harm, seen, name):
    _save_lambda(command.folder / name, harm)
    text = command.refused("train", "mlp", "--init-from", name)
    assert "an HDF5 file, which may hold a whole model and code" in text
    assert 'model.save_weights("model.weights.h5")' in text
    assert not harm.exists()
    seen(f"--init-from {name}: exit 2")


def test_a_vocabulary_of_somebody_else(command, harm):
    """It is compared with that of `--init-from`, and is a model file too."""
    table = command.folder / "texts.csv"
    rows = [f"{word} {i},{word}" for i in range(20) for word in ("cat", "dog")]
    table.write_text("\n".join(["text,label", *rows]))
    arguments = ["train", "rnn", "--dataset", f"csv:{table}", "--label", "label"]
    arguments += ["--epochs", 0, "--units", 4]
    assert command(*arguments, "--run-dir", "theirs").code == 0
    _save_module(command.folder / "theirs" / "vectorizer.keras", harm)
    text = command.refused(*arguments, "--init-from", "theirs", "--run-dir", "ours")
    assert "module 'harmful'" in text
    assert not harm.exists()
