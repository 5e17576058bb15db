"""What is exported answers as trained wherever it is loaded, by whoever made that.

Texts are vectorised in the graph by string operations, which TensorFlow alone has; in
the others the models behind them take token ids.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from helpers import serving_environments as environments
from tensorflow.core.protobuf import saved_model_pb2

import kerascale as ks

HERE = pathlib.Path(__file__).parent / "consumers"
ROOT = pathlib.Path(ks.__file__).parent.parent
MODELS = ["mlp", "cnn", "rnn", "transformer", "words", "language_model"]
# One with an image, one with texts behind a vocabulary; all of them before a release.
_QUICK = ["mlp", "words"]
_MODELS = [
    name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in MODELS
]
CONSUMERS = ["tensorflow", "saved_model_cli", "c", "openvino", "onnx", "litert"]
# What cannot be, with what its converter says.
CANNOT = {
    ("rnn", "litert"): "'tf.TensorListReserve' op requires element_shape to be static"
}


@pytest.fixture(scope="session")
def folders(request, exported, tmp_path_factory):
    """Model -> a folder with its export, its inputs, and what it answers.

    Of the models that the session's tests ask for.
    """
    root = tmp_path_factory.mktemp("consumers")
    own = pathlib.Path(__file__)
    here = [item for item in request.session.items if item.path == own]
    asked = [getattr(item, "callspec", None) for item in here]
    names = {call.params.get("name") for call in asked if call is not None}
    models = [name for name in MODELS if name in names]
    for name in models:
        folder = root / name
        folder.mkdir()
        run = exported(name).run
        with np.load(run.path / "examples.npz") as examples:
            x = examples["0"]
        kind = "image" if x.ndim == 4 else "tokens"
        x = x[:7].astype("float32" if kind == "image" else "int32")
        np.savez(folder / "inputs.npz", **{kind: x})
        np.save(folder / "expected.npy", run.model(x, training=False))
        shutil.copy(run.path / "model.keras", folder)
        version = exported(name).version
        if run.vectorizer is not None:
            version = ks.export_saved_model(run.model, root / f"{name}-core", inputs=x)
        shutil.copytree(version, folder / "saved_model")
    return {name: root / name for name in models}


def _run(python, script, folders):
    finished = subprocess.run(
        [python, HERE / script, *folders.values()],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        # The kerascale that is tested, in whatever environment the script runs.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="session")
def answers(folders):
    """Everything that asks several models in one process has asked them."""
    _run(sys.executable, "plain_tensorflow.py", folders)
    converters = environments.get("converters", environments.CONVERTERS, on_top=True)
    _run(converters, "convert.py", folders)
    _run(environments.get("runtimes", environments.RUNTIMES), "runtimes.py", folders)
    return folders


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    """A program of C, compiled against the libraries in TensorFlow's wheel."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tf.sysconfig.get_lib()
    # The usual linker reads TensorFlow's symbols for eight seconds.
    quick = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []
    program = tmp_path_factory.mktemp("c") / "consume"
    subprocess.run(
        [
            compiler, HERE / "consume.c", "-o", program,
            f"-I{tf.sysconfig.get_include()}", f"-L{library}", f"-Wl,-rpath,{library}",
            "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", *quick,
        ],
        check=True,
        timeout=120,
    )  # fmt: skip
    return program


# Three environments of others' packages are made for it.
@pytest.mark.slow
@pytest.mark.parametrize("consumer", ["tensorflow", "openvino", "onnx", "litert"])
@pytest.mark.parametrize("name", MODELS)
def test_answers(answers, name, consumer):
    folder = answers[name]
    error = folder / f"{consumer}.error"
    reason = CANNOT.get((name, consumer))
    if reason is not None:
        assert reason in error.read_text()
        return
    assert not error.exists(), error.read_text()
    _compare(folder, np.load(folder / f"{consumer}.npy"))


@pytest.mark.slow  # It loads as TensorFlow does.
@pytest.mark.parametrize("name", MODELS)
def test_saved_model_cli(folders, name, tmp_path):
    folder = folders[name]
    kind = _kind(folder)
    finished = subprocess.run(
        [
            os.path.join(os.path.dirname(sys.executable), "saved_model_cli"),
            "run", "--dir", folder / "saved_model", "--tag_set", "serve",
            "--signature_def", "serving_default", "--outdir", tmp_path,
            "--inputs", f"{kind}={folder / 'inputs.npz'}[{kind}]",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    _compare(folder, np.load(tmp_path / "probabilities.npy"))


@pytest.mark.parametrize("name", _MODELS)
def test_c_library(folders, c_program, name, tmp_path):
    folder = folders[name]
    with np.load(folder / "inputs.npz") as inputs:
        x = inputs[_kind(folder)]
    (tmp_path / "in").write_bytes(x.tobytes())
    data = (folder / "saved_model" / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(data).meta_graphs
    signature = graph.signature_def["serving_default"]
    finished = subprocess.run(
        [
            c_program, folder / "saved_model",
            signature.inputs[_kind(folder)].name,
            signature.outputs["probabilities"].name,
            "float" if x.dtype == np.float32 else "int32",
            tmp_path / "in", tmp_path / "out", *map(str, x.shape),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    shape = [int(size) for size in finished.stdout.split()]
    answer = np.frombuffer((tmp_path / "out").read_bytes(), np.float32).reshape(shape)
    _compare(folder, answer)


def _kind(folder):
    with np.load(folder / "inputs.npz") as inputs:
        (kind,) = inputs.files
    return kind


def _compare(folder, answer):
    expected = np.load(folder / "expected.npy")
    # Something was learned: a model of nothing would answer all alike.
    assert np.ptp(expected, axis=0).max() > 1e-4
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
