"""`predict` and `evaluate` on replicas: many batches in a call, the same bits."""

import json
import os
import pathlib

import pytest
from helpers import plain_workers

WORKER = pathlib.Path(__file__).parents[1] / "helpers" / "beside_worker.py"


def _check(text):
    told = json.loads(text.splitlines()[-1])
    wrong = [name for name, is_so in told["found"].items() if not is_so]
    assert not wrong
    assert told["calls"] == {
        "predict": False,
        "evaluate": 1,
        "one by one": told["batches"],
    }


def test_on_two_devices_they_are_those_of_single_batches(forks, tmp_path):
    environ = {**os.environ, "KERASCALE_DEVICES": "2"}
    code, out, told = forks.run(
        [str(WORKER), "mirrored"], cwd=tmp_path, env=environ, timeout=300
    )
    assert code == 0, out + told
    _check(out)


@pytest.mark.slow
def test_on_two_workers_they_are_those_of_single_batches():
    ended = plain_workers.run(WORKER, "multi_worker_mirrored", ways=["", ""])
    for code, out, told in ended:
        assert code == 0, told
        _check(out)
    assert ended[0][1] == ended[1][1]
