"""Whoever watches sees how far a process is, and can ask it to stop."""

import os
import signal

import pytest

from kerascale.errors import StoppedError
from kerascale.runtime import heartbeat, interrupts, live_view
from kerascale.runtime.live_view import LiveView

_BEATING = """
import sys
from kerascale.runtime import heartbeat
heartbeat.start()
print(heartbeat.read(sys.argv[1]))
heartbeat.beat(heartbeat.TRAINING, step=7)
print(heartbeat.read(sys.argv[1]))
"""


def test_each_sign_of_life_is_in_the_file(run_python, tmp_path):
    file = tmp_path / "beats"
    finished = run_python(_BEATING, file, env={heartbeat.FILE: str(file)})
    first, second = finished.stdout.splitlines()
    assert "count=0, step=0, phase='starting'" in first
    assert "count=1, step=7, phase='training'" in second


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noticed_between_steps(number, capfd):
    with interrupts.on_signals():
        with interrupts.between_steps():
            assert not interrupts.requested()
            os.kill(os.getpid(), number)
            assert interrupts.requested()
        assert f"{number.name}: saving, then stopping" in capfd.readouterr().err
    with interrupts.on_signals():
        assert not interrupts.requested()  # It was another run's.
        with pytest.raises(StoppedError):  # There is nothing to save.
            os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0%"), (0.996, "99%"), (1.0, "100%")]
)
def test_what_is_done_is_rounded_down(share, shown):
    view = LiveView(("epoch 1",), share, "1 s left", ())
    (line,) = live_view.lay_out(view, 80)
    assert shown in line.split()
