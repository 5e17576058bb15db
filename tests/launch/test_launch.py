"""Workers on this machine: what they are told, what is shown, and how they end.

The workers are small Python programs; none of them imports TensorFlow.
"""

import fcntl
import inspect
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale.errors import RefusedError
from kerascale.launch import environment, launch, lines, watch
from kerascale.strategies import tf_config

_LAUNCHER = """
import json, signal, sys
# A shell that starts the tests in the background ignores it for them; so does nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from kerascale.launch import launch
sys.exit(launch(**json.loads(sys.argv[1])))
"""
_WORKER = """
import json, os, signal, subprocess, sys, time
index = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))
index = index["task"]["index"]
def say(text):
    print(text, file=sys.stderr, flush=True)
def wait():
    say("waiting")
    while True:
        time.sleep(0.05)
"""
_FOREVER = "wait()"


def _environ(**changes):
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for name in ("TF_CONFIG", "KERASCALE_PROGRESS", "TF_NUM_INTRAOP_THREADS"):
        environ.pop(name, None)
    return {**environ, **changes}


def _arguments(code, options):
    command = [sys.executable, "-c", _WORKER + code]
    options = {"command": command, "workers": 2, **options}
    return [sys.executable, "-c", _LAUNCHER, json.dumps(options)]


def _launched(code, **options):
    return subprocess.run(
        _arguments(code, options),
        env=_environ(),
        capture_output=True,
        timeout=30,
        check=False,
    )


def _text(finished):
    return finished.stderr.decode()


@pytest.fixture
def start():
    """Starts a launcher; gives it back when every worker has said `waiting`."""
    started = []

    def start_launcher(code, ready=2, **options):
        process = subprocess.Popen(
            _arguments(code, options), env=_environ(), stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        process.shown = ""
        while process.shown.count("waiting") < ready:
            line = process.stderr.readline()
            assert line, process.shown
            process.shown += line
        process.ids = [int(i) for i in re.findall(r"process (\d+)", process.shown)]
        return process

    yield start_launcher
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def _ended(process, timeout=10):
    process.shown += process.communicate(timeout=timeout)[1]
    return process.returncode


def _status(identifier):
    """State and process group of a process; an entry nobody collects is gone too."""
    try:
        stat = pathlib.Path(f"/proc/{identifier}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "Z", None
    state, _, group, *_ = stat.rpartition(")")[2].split()
    return state, int(group)


def _gone(identifier, seconds=5):
    deadline = time.monotonic() + seconds
    while _status(identifier)[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    return _status(identifier)[0] == "Z"


def _group_is_gone(identifier):
    """Whether no process of a worker's group is left; its guard is one of them."""
    everything = [path.name for path in pathlib.Path("/proc").glob("[0-9]*")]
    return all(_gone(pid) for pid in everything if _status(pid)[1] == identifier)


# What the workers are told.


def test_each_worker_has_its_place_in_one_cluster():
    environments = environment.make_environments(
        _environ(), workers=3, devices_per_worker=2
    )
    clusters = [tf_config.from_environment(environ) for environ in environments]
    assert [each.index for each in clusters] == [0, 1, 2]
    assert len({each.workers for each in clusters}) == 1
    assert len({address.rpartition(":")[2] for address in clusters[0].workers}) == 3
    tf_config.refuse_unreachable(clusters[0])
    assert {environ["KERASCALE_DEVICES"] for environ in environments} == {"2"}
    threads = max(1, len(os.sched_getaffinity(0)) // 3)
    assert {e["TF_NUM_INTRAOP_THREADS"] for e in environments} == {str(threads)}
    progress = [environ.get("KERASCALE_PROGRESS") for environ in environments]
    assert progress == [None, "off", "off"]


def test_one_worker_is_no_cluster():
    (environ,) = environment.make_environments(
        _environ(), workers=1, devices_per_worker=1
    )
    assert "TF_CONFIG" not in environ
    assert "TF_NUM_INTRAOP_THREADS" not in environ
    assert environ["KERASCALE_DEVICES"] == "1"


def test_what_a_person_has_set_stays():
    environ = _environ(TF_NUM_INTRAOP_THREADS="7", KERASCALE_PROGRESS="off")
    first, _ = environment.make_environments(
        environ,
        workers=2,
        devices_per_worker=1,
        terminal_size=os.terminal_size((60, 10)),
    )
    assert first["TF_NUM_INTRAOP_THREADS"] == "7"
    assert first["KERASCALE_PROGRESS"] == "off"
    assert (first["COLUMNS"], first["LINES"]) == ("60", "10")


def test_a_proxy_is_not_asked_for_this_machine():
    proxied = _environ(http_proxy="http://proxy:1", no_proxy="intern")
    proxied.pop("no_grpc_proxy", None)
    first, _ = environment.make_environments(proxied, workers=2, devices_per_worker=1)
    assert first["no_grpc_proxy"] == "intern,127.0.0.1"


def test_each_worker_has_its_own_gpus():
    environments = environment.make_environments(
        _environ(CUDA_VISIBLE_DEVICES="4,5,GPU-8a,7,9"), workers=2, devices_per_worker=2
    )
    visible = [environ["CUDA_VISIBLE_DEVICES"] for environ in environments]
    assert visible == ["4,5", "GPU-8a,7"]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [("", []), ("-1", []), ("2,-1,3", ["2"]), (None, ["0", "1"])],
)
def test_visible_gpus(tmp_path, chosen, found):
    for name in ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    environ = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert environment.visible_gpus(environ, tmp_path) == found


def test_too_few_gpus_and_a_second_cluster_are_refused():
    environ = _environ(CUDA_VISIBLE_DEVICES="0,1", TF_CONFIG='{"cluster": {}}')
    with pytest.raises(RefusedError) as refused:
        launch(["true"], workers=3, devices_per_worker=2, environ=environ)
    first, second = refused.value.problems
    assert re.match(r"TF_CONFIG: expected none.*Received: .*cluster.*Unset it", first)
    assert re.match(r"expected 6 GPUs: 3 workers with 2 each. Received: 2 \(0", second)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"devices_per_worker": 0}])
def test_no_workers_are_refused(wrong):
    with pytest.raises(RefusedError, match=r"at least 1 worker.*=0"):
        launch(["true"], **{"workers": 1, **wrong})


# What is shown.


def test_the_first_workers_output_is_the_launchers_own():
    finished = _launched(
        "sys.stdout.buffer.write(b'\\0\\xff %d\\r\\n{}' % index)", workers=3
    )
    assert finished.returncode == 0
    assert finished.stdout == b"\0\xff 0\r\n{}"
    assert "[worker 1] \0� 1" in _text(finished)
    assert "[worker 2] {}" in _text(finished)
    assert "[worker 0]" not in _text(finished)


def test_messages_are_whole_lines_with_a_name_before_them():
    finished = _launched(
        """
for part in (b"be", b"gun\\n\\n", b"caf\\xc3", b"\\xa9 \\xff", b"\\n", b"last"):
    os.write(2, part)
    time.sleep(0.05)
"""
    )
    started, *shown = _text(finished).splitlines()
    assert re.fullmatch(
        r"kerascale launch: started worker 0 \(process \d+\), worker 1 \(.*\)\.",
        started,
    )
    for index in (0, 1):
        assert [line for line in shown if line.startswith(f"[worker {index}] ")] == [
            f"[worker {index}] {text}" for text in ("begun", "", "café �", "last")
        ]
    assert len(shown) == 8


def test_of_a_bar_that_is_no_longer_redrawn_one_line_is_left():
    finished = _launched(
        "for i in range(5000): sys.stderr.write(f'\\r{i:5d}')\nsys.stderr.write('\\n')"
    )
    assert sorted(_text(finished).splitlines()[1:]) == [
        "[worker 0]  4999",
        "[worker 1]  4999",
    ]


@given(st.lists(st.text(alphabet="ab\r\n é")), st.data())
def test_lines_do_not_depend_on_how_the_bytes_arrive(texts, data):
    content = "".join(texts).encode()
    whole, parts = lines.Lines(), lines.Lines()
    expected = whole.feed(content) + whole.close()
    received = []
    while content:
        size = data.draw(st.integers(1, len(content)))
        received += parts.feed(content[:size])
        content = content[size:]
    assert received + parts.close() == expected


def test_a_line_without_end_does_not_fill_the_memory():
    collected = lines.Lines()
    shown = [line for _ in range(40) for line in collected.feed(b"x" * 10_000)]
    shown += collected.close()
    assert "".join(shown) == "x" * 400_000
    assert max(map(len, shown)) < 100_000


_WITH_BAR = """
import tqdm
from kerascale.runtime.console import say
if index == 0:
    say("columns " + os.environ["COLUMNS"] + " " + os.environ["KERASCALE_PROGRESS"])
    bar = tqdm.tqdm(total=20, file=sys.stderr, ncols=70, mininterval=0, miniters=1)
    for i in range(20):
        time.sleep(0.05)
        bar.update()
        if i % 10 == 5:
            say(f"epoch {i}")
    bar.close()
else:
    for i in range(10):
        say(f"other {i} " + os.environ["KERASCALE_PROGRESS"])
        time.sleep(0.1)
"""


def _on_a_terminal(code, columns):
    """What a launcher writes to a terminal, and its exit code."""
    ours, theirs = pty.openpty()
    size = struct.pack("HHHH", 24, columns, 0, 0)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
    process = subprocess.Popen(_arguments(code, {}), env=_environ(), stderr=theirs)
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 20)[0]:
            written += os.read(ours, 65536)
    except OSError:  # The other side is closed.
        pass
    os.close(ours)
    return written.decode(), process.wait(timeout=10)


def _rows(written):
    """What a terminal shows, from its first row on."""
    rows, column = [""], 0
    for piece in re.findall(r"\r|\n|\x1b\[K|[^\r\n\x1b]+", written):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            rows.append("")
            column = 0
        elif piece == "\x1b[K":
            rows[-1] = rows[-1][:column]
        else:
            rows[-1] = rows[-1][:column] + piece + rows[-1][column + len(piece) :]
            column += len(piece)
    return rows


def test_the_bar_stays_below_the_lines_of_all_workers():
    written, code = _on_a_terminal(_WITH_BAR, columns=60)
    assert code == 0
    rows = _rows(written)
    assert len(set(re.findall(r"(\d+)%", written))) >= 10
    assert re.match(r"kerascale launch: started", "".join(rows[:2]))
    own = [row for row in rows if row.startswith("[worker 0] ")]
    assert own[:3] == [
        "[worker 0] columns 60 bar",
        "[worker 0] epoch 5",
        "[worker 0] epoch 15",
    ]
    assert "100%|" in own[3]
    assert [row for row in rows if row.startswith("[worker 1] ")] == [
        f"[worker 1] other {i} off" for i in range(10)
    ]
    # A bar that wraps, or that a line was written over, would be left above.
    assert len([row for row in rows if "%|" in row]) == 1
    assert rows[-1] == ""
    bars = re.findall(r"\x1b\[K( *\d+%\|[^\r\n\x1b]*)", written)
    assert max(map(len, bars)) == 59


# How they end.


def test_a_failure_stops_the_others():
    code = """
if index == 1:
    print("\\n".join(f"line {i}" for i in range(30)), file=sys.stderr)
    sys.exit(3)
wait()
"""
    began = time.monotonic()
    finished = _launched(code, workers=3, settle_seconds=0.3)
    assert time.monotonic() - began < 10
    assert finished.returncode == 3
    shown, _, summary = _text(finished).partition("kerascale launch: FAILED. ")
    assert "[worker 1] line 29" in shown
    assert summary.splitlines() == [
        "worker 1 was the first to fail: exit code 3. "
        "Stopped for it: worker 0, worker 2. Its last lines:",
        *[f"  line {i}" for i in range(10, 30)],
    ]


def test_all_are_gone_within_15_seconds():
    settle = inspect.signature(launch).parameters["settle_seconds"].default
    assert settle + watch._TERM_SECONDS <= 14


def test_a_worker_that_is_killed(start):
    process = start(_FOREVER, settle_seconds=0.1)
    os.kill(process.ids[1], signal.SIGKILL)
    assert _ended(process) == 128 + signal.SIGKILL
    assert "worker 1 was the first to fail: killed by SIGKILL." in process.shown
    assert "Stopped for it: worker 0." in process.shown
    assert all(map(_group_is_gone, process.ids))


def test_others_that_notice_by_themselves_are_not_stopped():
    finished = _launched(
        "time.sleep(index / 2); say('lost it'); sys.exit(4 + index)", settle_seconds=5
    )
    assert finished.returncode == 4
    assert (
        "worker 0 was the first to fail: exit code 4. Ended too: worker 1 (exit code 5)"
        in _text(finished)
    )


def test_a_worker_that_ignores_sigterm_is_killed_for_another(monkeypatch):
    code = """
if index == 1:
    time.sleep(0.3)
    sys.exit(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
wait()
"""
    began = time.monotonic()
    finished = _launched(code, settle_seconds=0.1)
    assert finished.returncode == 1
    assert "It wrote nothing to standard error." in _text(finished)
    assert time.monotonic() - began < watch._TERM_SECONDS + 5


_SAVES = """
def save(number, frame):
    say(f"saved on {signal.Signals(number).name}")
    sys.exit(75)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_passed_on(start, name):
    process = start(_SAVES + _FOREVER)
    process.send_signal(signal.Signals[name])
    assert _ended(process) == 75
    for index in (0, 1):
        assert process.shown.count(f"[worker {index}] saved on {name}") == 1
    assert f"{name} passed on; waiting up to 30 s for 2 workers" in process.shown
    assert "every worker ended: exit code 75." in process.shown
    assert "FAILED" not in process.shown


def test_a_signal_that_ends_the_workers(start):
    process = start(_FOREVER)
    process.send_signal(signal.SIGTERM)
    assert _ended(process) == 128 + signal.SIGTERM
    assert "every worker ended: killed by SIGTERM." in process.shown


def test_workers_that_disagree_about_a_signal(start):
    code = "signal.signal(signal.SIGTERM, lambda *_: os._exit(75 * index))\n"
    process = start(code + _FOREVER)
    process.send_signal(signal.SIGTERM)
    assert _ended(process) == 128 + signal.SIGTERM
    assert (
        "stopped by SIGTERM. worker 0: exit code 0, worker 1: exit code 75."
        in process.shown
    )


def test_a_worker_that_does_not_end_in_time_is_killed(start):
    code = "if index: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    process = start(code + _FOREVER, grace_seconds=0.5)
    process.send_signal(signal.SIGTERM)
    assert _ended(process, timeout=5) == 128 + signal.SIGTERM
    assert "worker 1: did not end in time and was killed" in process.shown
    assert all(map(_group_is_gone, process.ids))


def test_a_second_interrupt_kills(start):
    code = "signal.signal(signal.SIGINT, lambda *_: say('saving'))\n"
    process = start(code + _FOREVER)
    process.send_signal(signal.SIGINT)
    # A wrapper passes on what the terminal has sent to the whole group.
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.6)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert _ended(process, timeout=3) == 128 + signal.SIGINT
    assert process.shown.count("saving") == 2


def test_a_worker_that_is_told_to_stop_is_no_failure(start):
    code = f"""{_SAVES}
if index == 0:
    say("waiting")
    time.sleep(1)
    sys.exit(75)
"""
    process = start(code + _FOREVER, settle_seconds=0.1)
    os.kill(process.ids[1], signal.SIGTERM)
    assert _ended(process) == 75
    assert "every worker ended: exit code 75." in process.shown


def test_a_failure_beside_a_stop_is_the_failure():
    finished = _launched(
        "time.sleep(1 - index); sys.exit(75 if index else 3)", settle_seconds=0.1
    )
    assert finished.returncode == 3
    assert "worker 0 was the first to fail: exit code 3." in _text(finished)


_CHILD = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
say(f"child {child.pid} waiting")
"""


def _children(shown):
    found = set(map(int, re.findall(r"child (\d+)", shown)))
    assert len(found) == 2
    return found


@pytest.mark.parametrize("end", ["", "sys.exit(1)", "time.sleep(100)"])
def test_no_child_of_a_worker_survives(end):
    code = f"{_CHILD}\nif index: sys.exit(1)\n{end}" if end else _CHILD
    finished = _launched(code, settle_seconds=0.1)
    assert finished.returncode == (1 if end else 0)
    for child in _children(_text(finished)):
        assert _gone(child)


def test_nothing_survives_a_launcher_that_is_killed(start):
    # As a worker that is saving: an orderly signal does not end it.
    code = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    process = start(code + _CHILD + "time.sleep(100)")
    process.kill()
    for identifier in (*process.ids, *_children(process.shown)):
        assert _gone(identifier)
    assert all(map(_group_is_gone, process.ids))


def test_a_guard_outlives_orderly_signals(start):
    code = "signal.signal(signal.SIGTERM, lambda *_: say('still waiting'))\n"
    process = start(code + _FOREVER)
    os.killpg(process.ids[0], signal.SIGTERM)
    while "still" not in process.shown:
        process.shown += process.stderr.readline()
    process.kill()
    assert all(map(_gone, process.ids))


def test_what_all_refuse_is_shown_once():
    code = """
say(f"only from {index}")
time.sleep((0.6, 0, 0.9)[index])
say("kerascale train: wrong arguments: 2 problems\\n  - one\\n  - two")
sys.exit(2)
"""
    finished = _launched(code, workers=3)
    assert finished.returncode == 2
    shown = _text(finished)
    assert (
        shown.count("2 problems") == shown.count("- one") == shown.count("- two") == 1
    )
    for index in range(3):
        assert f"[worker {index}] only from {index}" in shown
    assert shown.endswith("kerascale launch: every worker ended: exit code 2.\n")


def test_what_one_refuses_is_shown():
    code = "if index: say('no such file'); sys.exit(2)\nwait()"
    finished = _launched(code, settle_seconds=0.1)
    assert finished.returncode == 2
    assert "[worker 1] no such file" in _text(finished)
    assert "worker 1 was the first to fail: exit code 2." in _text(finished)


def test_output_that_nobody_reads_does_not_hold_up_the_watch(start):
    code = """
if index:
    time.sleep(0.5)
    sys.exit(5)
say("waiting")
while True:
    say("x" * 1000)
"""
    process = start(code, ready=1, settle_seconds=0.1)
    assert _gone(process.ids[0], seconds=10)
    assert _ended(process) == 5


def test_a_standard_error_that_is_closed():
    process = subprocess.Popen(
        _arguments("for _ in range(9): say('x' * 9999)", {}),
        env=_environ(),
        stderr=subprocess.PIPE,
    )
    process.stderr.close()
    assert process.wait(timeout=10) == 0


def test_a_program_that_is_not_there():
    finished = _launched("", command=["./no-such-program"])
    assert finished.returncode == 127
    assert "cannot run ./no-such-program: No such file" in _text(finished)


# The command line.


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ([], ["expected -- between the flags of launch and the command", "nothing"]),
        (
            ["--workers", "2", "train", "mlp"],
            ["Received: --workers 2 train mlp. Usage"],
        ),
        (["--", "train"], ["--workers: expected, and not given"]),
        (["--workers", "two", "--", "train"], ["--workers: expected an integer"]),
        (["--workers", "0", "--", "train"], ["workers: ", ">= 1", "Received: 0"]),
        (
            ["--workers=2", "--devices-per-worker=0", "--", "train"],
            ["devices_per_work"],
        ),
        (
            ["--workers=2", "--"],
            ["behind --: expected", ": train, doctor. Received: nothing."],
        ),
        (
            ["--worker", "2", "--", "trian", "mlp"],
            ["--worker: no such flag. Did you mean --workers?", "Did you mean train?"],
        ),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_refused(kerascale, arguments, messages):
    finished = kerascale("launch", *arguments, env=_environ())
    assert finished.returncode == 2
    assert "process" not in finished.stderr
    for message in messages:
        assert message in finished.stderr


def test_what_the_command_refuses(kerascale):
    finished = kerascale(
        "launch", "--workers", "2", "--", "train", "mlp", "--epochs=-1", env=_environ()
    )
    assert finished.returncode == 2
    assert finished.stderr.count("epochs: expected") == 1
    assert finished.stdout == ""


def test_help(kerascale):
    finished = kerascale("launch", "--help")
    assert finished.returncode == 0
    assert "Example: kerascale launch --workers 2 -- train mlp" in finished.stdout
    assert "launch  " in kerascale("--help").stdout
    own = kerascale("launch", "--workers", "2", "--", "train", "mlp", "--help")
    assert own.returncode == 0
    assert "--learning-rate" in own.stdout
    assert own.stderr == ""
