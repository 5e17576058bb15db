"""The loss of each step: at its own place, whatever came before."""

import errno
import types

import numpy as np
import pytest

from kerascale.callbacks import StepLosses
from kerascale.engine.execution import step_functions
from kerascale.runs import step_losses


def test_each_loss_is_at_the_place_of_its_step(tmp_path):
    path = tmp_path / "losses.bin"
    assert step_losses.read(path).size == 0
    step_losses.write(path, 0, [3.0, 2.0])
    step_losses.write(path, 2, [1.0])
    step_losses.write(path, 1, [2.0, 1.0])  # Steps that are trained again.
    assert step_losses.read(path).tolist() == [3.0, 2.0, 1.0]
    step_losses.write(path, 5, [0.5])  # Others were not known.
    np.testing.assert_equal(
        step_losses.read(path), [3.0, 2.0, 1.0, np.nan, np.nan, 0.5]
    )


def test_what_a_kill_cut_off_is_not_known(tmp_path):
    path = tmp_path / "losses.bin"
    step_losses.write(path, 0, [3.0, 2.0, 1.0])
    path.write_bytes(path.read_bytes()[:-3])
    assert step_losses.read(path).tolist() == [3.0, 2.0]
    step_losses.write(path, 3, [0.5])
    np.testing.assert_equal(step_losses.read(path), [3.0, 2.0, np.nan, 0.5])


def test_a_run_that_goes_back_forgets_what_came_after(tmp_path):
    path = tmp_path / "losses.bin"
    step_losses.cut(path, 3)
    step_losses.write(path, 0, [3.0, 2.0, 1.0])
    step_losses.cut(path, 5)
    step_losses.cut(path, 2)
    assert step_losses.read(path).tolist() == [3.0, 2.0]
    step_losses.cut(path, 0)
    assert not path.exists()


@pytest.fixture
def losses(monkeypatch):
    """What the model's last execution tells."""
    told = types.SimpleNamespace(last=None)
    monkeypatch.setattr(step_functions, "step_losses", lambda model: told.last)
    return told


def test_the_last_execution_of_an_epoch_is_shorter(losses, tmp_path):
    callback = StepLosses(tmp_path / "losses.bin", steps_per_epoch=5)
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        losses.last = np.arange(4.0) + 10 * epoch
        callback.on_train_batch_end(3)
        losses.last = np.array([4.0 + 10 * epoch])
        callback.on_train_batch_end(7)
    expected = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert step_losses.read(tmp_path / "losses.bin").tolist() == expected


def test_a_full_disk_ends_no_training(losses, monkeypatch, tmp_path, capfd):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(step_losses, "write", full)
    callback = StepLosses(tmp_path / "losses.bin", steps_per_epoch=5)
    callback.on_epoch_begin(0)
    losses.last = np.ones(1)
    callback.on_train_batch_end(0)
    callback.on_train_batch_end(1)
    said = capfd.readouterr().err
    assert said.count("losses.bin cannot be written (No space left on device)") == 1
    losses.last = None  # Nothing is known: nothing is written.
    callback.on_train_batch_end(2)
