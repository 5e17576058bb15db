"""Faults of what stands below all: files, signals, signs of life, metrics."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-file-may-be-lost-with-the-power",
        "runtime/durable_files.py",
        "        os.fsync(file.fileno())\n",
        "        file.flush()\n",
        ("test_durable_files.py",),
    ),
    Fault(
        "changed-bytes-of-the-same-size-pass",
        "runtime/durable_files.py",
        "if _sum(file) != sha256:",
        "if len(_sum(file)) != len(sha256):",
        ("test_durable_files.py",),
    ),
    Fault(
        "what-a-user-made-before-a-late-import-is-never-freed",
        "runtime/garbage.py",
        "self.for_now = True",
        "self.for_now = False",
        ("test_garbage.py",),
    ),
    Fault(
        "signs-of-life-are-not-written",
        "runtime/heartbeat.py",
        "_last.run_dir if run_dir is None else str(pathlib.Path(run_dir).absolute()),"
        "\n    )\n    _write(_last)",
        "_last.run_dir if run_dir is None else str(pathlib.Path(run_dir).absolute()),"
        "\n    )",
        ("test_signs_of_life.py",),
    ),
    Fault(
        "sigterm-is-swallowed",
        "runtime/interrupts.py",
        "    _received.append(number)\n",
        "    if number == signal.SIGINT:\n        _received.append(number)\n",
        ("test_signs_of_life.py",),
    ),
    Fault(
        "an-execution-counts-as-one-step",
        "runtime/prometheus/training_state.py",
        "self.steps += steps",
        "self.steps += 1",
        ("test_prometheus.py::test_values",),
    ),
    Fault(
        "what-is-almost-done-is-shown-as-done",
        "runtime/live_view.py",
        'percent = f"{int(view.share * 100):3d}%"',
        'percent = f"{round(view.share * 100):3d}%"',
        ("test_signs_of_life.py",),
    ),
    Fault(
        "programs-of-others-are-executed",
        "runtime/program_store.py",
        "if stat.st_uid != os.getuid() or stat.st_mode & 0o022:",
        "if stat.st_uid != os.getuid():",
        ("test_program_store.py",),
    ),
    Fault(
        "damaged-programs-are-executed",
        "runtime/program_store.py",
        "if hashlib.sha256(content).digest() == digest:",
        "if len(digest) == _DIGEST_BYTES:",
        ("test_program_store.py",),
    ),
)
