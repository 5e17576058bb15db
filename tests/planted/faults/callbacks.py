"""Faults of the callbacks of a run."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-fine-tuning-that-goes-on-stays-frozen",
        "callbacks/thaw.py",
        "is_open, self._epoch = self._epoch >= self.frozen_epochs, None",
        "is_open, self._epoch = False, None",
        ("../recipes/test_finetune.py",),
    ),
    Fault(
        "weights-are-written-in-place",
        "callbacks/save_weights.py",
        "weights_file.write(self.model, temporary)",
        "self.path.write_bytes(b'')\n"
        "            weights_file.write(self.model, temporary)",
        ("test_callbacks.py::test_a_save_that_is_interrupted_leaves_the_one_before",),
    ),
    Fault(
        "a-loss-of-nan-is-the-best",
        "callbacks/save_weights.py",
        "if not self.monitor.is_better(value, self.best):",
        "if value == self.best or self.monitor.is_better(self.best, value):",
        ("test_callbacks.py::test_save_weights_keeps_the_best",),
    ),
    Fault(
        "nan-is-told-of-the-step-before",
        "callbacks/non_finite.py",
        "batch = last - len(losses) + 1 + place",
        "batch = last - len(losses) + place",
        ("test_what_is_remembered.py",),
    ),
    Fault(
        "early-stopping-forgets-how-long-it-waits",
        "callbacks/states.py",
        "        setattr(callback, name, value)\n",
        "        vars(callback).setdefault(name, value)\n",
        ("test_what_is_remembered.py",),
    ),
    Fault(
        "no-sign-of-life-while-it-trains",
        "callbacks/heartbeat.py",
        "heartbeat.beat(heartbeat.TRAINING, step=self._done + done)",
        "del done",
        ("test_what_is_remembered.py",),
    ),
    Fault(
        "a-line-of-history-is-written-again",
        "callbacks/history_record.py",
        "        self.csv_file.seek(0)\n        self.csv_file.truncate()\n",
        "",
        ("test_what_is_remembered.py",),
    ),
    Fault(
        "a-state-with-nan-is-saved",
        "callbacks/save_checkpoints.py",
        "        if bad:\n            raise",
        "        if bad and self._writer is None:\n            raise",
        ("test_what_is_remembered.py",),
    ),
    Fault(
        "the-last-step-of-an-epoch-counts-as-an-execution",
        "callbacks/step_losses.py",
        "done = self._before + min(batch + 1, self._steps_per_epoch)",
        "done = self._before + batch + 1",
        ("test_what_is_remembered.py",),
    ),
)
