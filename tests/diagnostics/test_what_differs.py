"""Two runs of `kerascale chaos` are the same only if every bit of both is."""

import json
import shutil

import keras
import numpy as np
import pytest

from kerascale.diagnostics.chaos import checksums
from kerascale.runs import layout
from kerascale.runs.checkpoint import Store


def test_what_only_one_run_has_differs():
    one = {"history.csv": "a", "model dense/0": "b"}
    assert checksums.differences(one, dict(one)) == []
    assert checksums.differences(one, {"history.csv": "a"}) == ["model dense/0"]
    assert checksums.differences({"history.csv": "a"}, one) == ["model dense/0"]


def _written(folder, *, saved=0.5, final=0.25):
    names = ("epoch", "step", "history", "callbacks", "stop", "rate")
    arrays = {"model/00000": np.array([saved, 1.0])}
    Store(folder / layout.CHECKPOINTS).save(8, arrays, dict.fromkeys(names, 0))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[final]]), np.zeros(1)])
    model.save(folder / layout.MODEL)
    (folder / layout.HISTORY).write_text("epoch,loss\n0,0.5\n")
    (folder / layout.EVALUATION).write_text(json.dumps({"loss": 0.5}))
    return folder


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"saved": np.nextafter(0.5, 1)}, "checkpoint model/00000"),
        ({"final": np.nextafter(np.float32(0.25), 1)}, "model layers/dense/vars/0"),
        ({}, None),
    ],
    ids=["in the checkpoint", "in the model", "nowhere"],
)
def test_the_last_bit_of_a_weight_is_seen(changed, where, tmp_path):
    keras.backend.clear_session()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one = checksums.fingerprints(_written(tmp_path / "one"))
    keras.backend.clear_session()
    other = checksums.fingerprints(_written(tmp_path / "other", **changed))
    assert checksums.differences(one, other) == ([where] if where else [])
    assert (checksums.total(one) == checksums.total(other)) == (where is None)


def test_a_run_without_a_whole_checkpoint_equals_none(tmp_path):
    (tmp_path / "one").mkdir()
    one = checksums.fingerprints(_written(tmp_path / "one"))
    shutil.rmtree(tmp_path / "one" / layout.CHECKPOINTS)
    assert checksums.differences(one, checksums.fingerprints(tmp_path / "one"))
