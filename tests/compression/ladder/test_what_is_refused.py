"""What `kerascale compress` refuses before it begins, and what to do about it."""

import json
import pathlib
import types

import pytest

from kerascale.cli import main
from kerascale.compression.formats import packages, rungs
from kerascale.compression.ladder import paths, result
from kerascale.errors import RefusedError

IMAGES = types.SimpleNamespace(kind="image")
TEXTS = types.SimpleNamespace(kind="corpus")


def test_an_unfinished_run(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    assert main(["compress", str(tmp_path)]) == 2
    assert "expected the folder of a finished run" in capsys.readouterr().err


def test_numbers_that_make_no_sense(tmp_path, capsys):
    arguments = "--max-drop -1 --calibration-examples 0 --threads 0".split()
    assert main(["compress", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err
    assert "3 problems" in error
    assert "int8 takes the ranges" in error


def test_a_missing_extra_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "evaluation.json").write_text("{}")
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    for arguments in (["--runtimes", "litert"], ["--to", "int8"]):
        assert main(["compress", str(tmp_path), *arguments]) == 2
        assert "pip install 'kerascale[compress]'" in capsys.readouterr().err
    # Without the extra TensorFlow is still there.
    assert packages.installed((), ()) == ["tensorflow"]


def test_texts_in_litert():
    with pytest.raises(RefusedError, match=r"--runtimes litert: .* no operations for"):
        rungs.wanted((), ("litert",), TEXTS)
    wanted, cannot = rungs.wanted((), (), TEXTS)
    assert {rung.runtime for rung in wanted} == {"onnx", "tensorflow"}
    assert rungs.Rung("int8", "litert") in cannot


def test_integers_in_tensorflow():
    with pytest.raises(RefusedError, match=r"--to int8: .* no integer kernels"):
        rungs.wanted(("int8",), ("tensorflow",), IMAGES)
    wanted, _ = rungs.wanted(("int8",), (), IMAGES)
    # A float model of a runtime with nothing to compare would only cost time.
    assert {rung.runtime for rung in wanted} == {"litert", "onnx"}
    assert wanted[0].level == "float32"


@pytest.mark.parametrize("drop", [0.0101, float("nan")])
def test_a_rung_beyond_the_limit(drop):
    assert result.refusal({"drop": drop}, 0.01)
    assert result.refusal({"drop": 0.01}, 0.01) is None


def test_only_levels_are_rungs():
    """A run may stand in a folder that somebody called so."""
    assert not paths.is_compressed("compressed/1")
    assert paths.is_compressed("runs/cnn/1/compressed/int8")
    assert paths.run_of("runs/cnn/1/compressed/int8/onnx") == pathlib.Path("runs/cnn/1")


def test_export_of_a_ladder_that_is_not_there(tmp_path, capsys):
    path = tmp_path / "compressed" / "int8"
    assert main(["export", str(path), str(tmp_path / "served")]) == 2
    assert "kerascale compress builds them" in capsys.readouterr().err
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == "[]"
