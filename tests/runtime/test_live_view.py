"""What a person sees while a training runs: on a terminal of any width, and piped."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios

import pyte
import pytest

from kerascale.callbacks.speed import Speed
from kerascale.runtime.live_view import LiveView, flow, lay_out

VIEW = LiveView(
    head=("epoch  3/40", "step 1,234/14,400"),
    share=0.0857,
    left="1 h 12 min left",
    items=(
        "loss 0.4321",
        "accuracy 0.8765",
        "12,345 examples/s (median 12,100)",
        "learning rate 0.000815",
        "waiting for data 0%",
        "memory 1.20 GiB",
    ),
)


@pytest.mark.parametrize("columns", [1, 5, 20, 46, 79, 119, 300])
@pytest.mark.parametrize("is_unicode", [True, False])
def test_nothing_is_cut_or_too_long(columns, is_unicode):
    lines = lay_out(VIEW, columns, is_unicode)
    assert max(map(len, lines)) <= columns
    together = "  ".join(lines)
    if columns > 40:
        assert all(part in together for part in (*VIEW.head, VIEW.left, *VIEW.items))
    assert together.isascii() or is_unicode
    if columns >= 79:
        assert re.search("8%", lines[0])
        assert len(lines) <= 3


def test_speed_is_that_of_the_training_alone():
    speed = Speed()
    speed.begin(0, 0.0)
    assert speed.now(0, 0.0) is None
    for second in range(1, 6):
        speed.add(100 * second, float(second))
    speed.add(2500, 6.0)  # Two thousand in a second.
    assert speed.now(2500, 6.0) == 2000
    assert speed.median(2500, 6.0) == 100
    speed.end(2500, 6.0)
    speed.begin(2500, 100.0)  # A long validation.
    speed.add(2600, 101.0)
    assert speed.now(2600, 101.0) == 100


# The recipe's messages come from all sides while the view is drawn.
_CODE = """
import logging, os, sys, time, warnings
import keras
import kerascale as ks
from kerascale.runtime.console import say

logging.basicConfig(format="logged: %(message)s")  # Holds standard error as it was.

class Noise(keras.callbacks.Callback):
    every_step = False
    seen = 0
    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        time.sleep(0.02)
        if self.seen == 60:
            say("SAVE FAILED: " + "x" * 200)
        if self.seen == 70:
            warnings.warn("mind the gap")
            logging.getLogger("mine").warning("first line\\nsecond line")
            print("printed " + "y" * 100)
        if self.seen == 80:
            os.write(2, b"from C++: not through Python\\n")

recipe = ks.load_recipe("mlp")
config = recipe.Config(epochs=3, execution="fixed")
ks.train(recipe, config, run_dir=sys.argv[1], callbacks=[Noise()])
"""


class Terminal:
    """A pseudo-terminal, and what an emulator shows of it at each moment."""

    def __init__(self, columns, lines=24):
        self.ours, self.theirs = pty.openpty()
        self.screen = pyte.HistoryScreen(columns, lines, history=5000)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(columns, lines)

    def resize(self, columns, lines=24):
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, size)
        self.screen.resize(lines, columns)

    def read(self):
        """Reads on, and says what is on the screen now; None: it was closed."""
        if not select.select([self.ours], [], [], 60)[0]:
            return None
        try:
            data = os.read(self.ours, 65536)
        except OSError:
            return None
        self._stream.feed(data)
        return [line.rstrip() for line in self.screen.display]

    def all_lines(self):
        """All that was shown, what has scrolled away first."""
        top = [
            "".join(row[x].data for x in range(self.screen.columns)).rstrip()
            for row in self.screen.history.top
        ]
        return [*top, *(line.rstrip() for line in self.screen.display)]


def _watch(terminal, command, cwd, narrow=(None, None), stop=None):
    """Runs a command on a terminal; returns each view that was seen, and its code.

    After `narrow[0]` views the terminal gets `narrow[1]` columns, and after `stop`
    views the process gets SIGINT.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=terminal.theirs,
        stderr=terminal.theirs,
        env={**os.environ, "KERASCALE_PROGRESS": ""},
    )
    views = []
    while process.poll() is None or select.select([terminal.ours], [], [], 0)[0]:
        if not select.select([terminal.ours], [], [], 0.2)[0]:
            continue
        shown = terminal.read()
        while shown and select.select([terminal.ours], [], [], 0.03)[0]:
            shown = terminal.read()  # A view comes in pieces.
        if shown is None:
            break
        view = [n for n, line in enumerate(shown) if " left" in line and "step" in line]
        if view:
            views.append(shown[view[-1] :])
            if len(views) == narrow[0]:
                terminal.resize(narrow[1])
            if len(views) == stop:
                process.send_signal(signal.SIGINT)
    return views, process.wait(timeout=30)


def _assert_whole(view):
    """Each part of a view is there, none is cut, and nothing else is."""
    first, *rest = view
    assert re.fullmatch(
        r"epoch \d/3  step \d+/108(  validating)?  [█░]+ +\d+%  \S.* left", first
    ), first
    text = "  ".join(filter(None, rest))
    assert re.fullmatch(
        r"loss \d+\.\d{4}  accuracy \d\.\d{4}(  val_loss \S+  val_accuracy \S+)?"
        r"  [\d,]+ examples/s \(median [\d,]+\)  learning rate \S+"
        r"(  waiting for data \d+%)?  memory \d+\.\d\d GiB",
        text,
    ), text


def _assert_gone(terminal):
    lines = terminal.all_lines()
    assert not [line for line in lines if "█" in line or "░" in line]
    assert terminal.screen.cursor.x == 0
    assert not terminal.screen.cursor.hidden


@pytest.mark.slow
def test_a_run_on_a_terminal(tmp_path):
    terminal = Terminal(80)
    command = [sys.executable, "-c", _CODE, str(tmp_path / "run")]
    views, code = _watch(terminal, command, tmp_path)
    lines = terminal.all_lines()
    assert code == 0, lines
    assert len(views) >= 3
    for view in views:
        _assert_whole(view)
    _assert_gone(terminal)
    # What others said is above it, whole and in order; what is too long is wrapped.
    text = "\n".join(line for line in lines if line)
    epochs = re.findall(r"^epoch \d/3  loss .*val_accuracy \d\.\d{4}$", text, re.M)
    assert len(epochs) == 3
    joined = "".join(lines)
    said = ("SAVE FAILED: " + "x" * 200, "printed " + "y" * 100)
    assert all(words in joined for words in said)
    own = ("logged: first line", "second line", "from C++: not through Python")
    for line in own:
        assert line in lines
    assert "UserWarning: mind the gap" in joined


@pytest.mark.slow
def test_a_terminal_that_is_made_narrower_and_ctrl_c(tmp_path):
    terminal = Terminal(120)
    command = [sys.executable, "-c", _CODE, str(tmp_path / "run")]
    views, code = _watch(terminal, command, tmp_path, narrow=(3, 50), stop=7)
    assert code == 1  # StoppedError, which the command line turns into 75.
    for view in views[:3]:
        _assert_whole(view)
        assert len(view) <= 4 or not any(view[3:])
    narrow = [line for line in views[5] if line]
    assert max(map(len, narrow)) < 50
    assert [line for line in narrow if line.startswith("loss ")]
    assert narrow[-1].endswith("GiB")
    _assert_gone(terminal)


def test_what_is_too_long_for_a_line_breaks_between_values():
    values = ("epoch  54/400", "loss 0.0953", "accuracy 0.9782")
    more = ("val_loss 0.0608", "val_accuracy 0.9901")
    assert flow((*values, *more), 80) == [
        "  ".join((*values, more[0])),
        more[1],
    ]
    assert len(flow((*values, *more), 120)) == 1
