"""`max_steps`: training ends after so many updates, in the middle of an epoch too."""

import json

import keras
import pytest
from helpers.killing import assert_same, records_of

import kerascale as ks
from kerascale.config import CheckpointPolicy
from kerascale.errors import RefusedError

# 1,145 examples: 5 batches in an epoch, of which the second ends after 2.
_STEPS = 7
_FIELDS = {"units": (8,), "batch_size": 256, "epochs": 9, "schedule": "cosine"}


class _Killed(Exception):
    """Ends a run as a kill does: nothing of it is saved."""


class _KilledAt(keras.callbacks.Callback):
    every_step = False

    def __init__(self, step=None, in_validation_of=None):
        super().__init__()
        self._step, self._epoch = step, in_validation_of

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._step is not None and self._now * 5 + batch + 1 >= self._step:
            raise _Killed

    def on_test_begin(self, logs=None):
        if self._now == self._epoch:
            raise _Killed


def _train(recipe, folder, max_steps=_STEPS, callbacks=(), **fields):
    config = recipe.Config(**{**_FIELDS, "max_steps": max_steps, **fields})
    policy = CheckpointPolicy(save_every_steps=2, save_every_seconds=None)
    return ks.train(
        recipe, config, run_dir=folder, callbacks=list(callbacks), checkpoints=policy
    )


def _dies(recipe, folder, callback, **fields):
    with pytest.raises(_Killed):
        _train(recipe, folder, callbacks=[callback], **fields)


def _compare(recipe, tmp_path, *callbacks, **fields):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run = _train(recipe, whole, **fields)
    assert [len(values) for values in run.history.values()] == [2] * 4
    # Epochs do not count, and the rate has come down to 0 with the last update.
    last = records_of(whole)[-1]
    assert (last["epoch"], last["step"]) == (2, _STEPS)
    assert last["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert len((whole / "losses.bin").read_bytes()) == 8 * _STEPS

    for callback in callbacks:
        _dies(recipe, killed, callback, **fields)
    again = _train(recipe, killed, **fields)
    assert_same(killed, whole)
    assert records_of(killed) == records_of(whole)
    assert again.metrics == run.metrics
    return killed


@pytest.mark.slow
def test_a_killed_run_ends_at_the_same_step(recipe, tmp_path, capsys):
    fields = {"execution": "fixed", "steps_per_execution": 3}
    # What is left of it is a validation.
    killed = _compare(recipe, tmp_path, _KilledAt(in_validation_of=1), **fields)
    with pytest.raises(RefusedError, match="max_steps: expected 7, as in the run"):
        _train(recipe, killed, 6, **fields)
    capsys.readouterr()
    more = _train(recipe, killed, 9, **fields)
    said = capsys.readouterr().err
    assert "resuming at step 5 " in said
    assert "step 9/9" in said
    assert "stopped early" not in said
    assert [len(values) for values in more.history.values()] == [2] * 4
    assert records_of(killed)[-1]["step"] == 9
    events = (killed / "timeline.jsonl").read_text().splitlines()
    assert json.loads(events[-2])["step"] == 5


@pytest.mark.slow  # Compiles: how steps are executed changes nothing of where it ends.
@pytest.mark.parametrize("execution", ["one_program", "loop"])
def test_in_every_form_of_execution(recipe, tmp_path, execution):
    kills = _KilledAt(step=4), _KilledAt(in_validation_of=1)
    _compare(recipe, tmp_path, *kills, execution=execution)
