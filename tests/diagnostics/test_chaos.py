"""`kerascale chaos`: what it does to runs, and that it would see a difference."""

import concurrent.futures
import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest
from helpers.killing import FIELDS, RECIPE
from hypothesis import given
from hypothesis import strategies as st

from kerascale.diagnostics.chaos import attempts, checksums, events
from kerascale.diagnostics.chaos.attempts import Attempt
from kerascale.diagnostics.chaos.events import KINDS, Event, draw
from kerascale.diagnostics.chaos.report import Report

KILLS = (events.KILL, events.KILL_IN_SAVE, events.KILL_IN_VALIDATION)


def _chaos(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "kerascale", "chaos", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=3000,
        check=False,
    )


@given(
    st.integers(1, 50),
    st.integers(2, 300),
    st.integers(1, 4),
    st.integers(0, 2**40),
)
def test_events_are_drawn_from_the_seed(count, steps, workers, seed):
    def drawn():
        return draw(count, steps, workers=workers, seed=seed, step_seconds=0.1)

    plan = drawn()
    assert plan == drawn()
    assert [event.step for event in plan] == sorted(event.step for event in plan)
    assert all(1 <= event.step < max(2, steps) for event in plan)
    assert all(0 <= event.worker < workers for event in plan)
    counts = [sum(event.kind == kind for event in plan) for kind in KINDS]
    assert max(counts) - min(counts) <= 1
    if count < steps:
        assert len({event.step for event in plan}) == count


def test_what_a_report_says():
    killed = Event(events.KILL, 25)
    plan = [
        Attempt(killed, True, 0, 26, 8.0, 137),
        Attempt(None, False, 20, 50, 7.0, 0),
    ]
    report = Report(
        steps=50,
        save_every=10,
        undisturbed_seconds=12.0,
        attempts=plan,
        compared=30,
        sha256="abc",
        different=[],
    )
    assert report
    assert report.lost == [6]
    assert report.goodput == pytest.approx(0.8)
    assert "| 1 | SIGKILL | 0 | 26 | 20 | 6 |" in report.text()
    assert "goodput 0.80" in report.text()
    assert report.to_dict()["steps_lost"] == 6


def test_one_changed_bit_is_seen(undisturbed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(undisturbed, copy)
    whole = checksums.fingerprints(undisturbed)
    assert not checksums.differences(whole, checksums.fingerprints(copy))
    history = copy / "history.csv"
    history.write_text(history.read_text().replace("0", "1", 1))
    assert checksums.differences(whole, checksums.fingerprints(copy)) == ["history.csv"]
    newest = max(copy.glob("checkpoints/0*"))
    shutil.rmtree(newest)
    assert "checkpoint step" in checksums.differences(
        whole, checksums.fingerprints(copy)
    )


@pytest.mark.slow
@pytest.mark.fault(
    1, "kerascale chaos: struck at random, twice", "same bits, goodput told"
)
def test_chaos(command, seen):
    small = ("--epochs", 2, "--units", 16, "--dropout", 0.2, "--batch-size", 64)
    answer = command("chaos", "mlp", "--kills", 2, *small, "--json", "True")
    assert answer.code == 0, answer.text
    result = json.loads(answer.out.splitlines()[-1])
    assert result["identical"]
    assert len(result["events"]) == 2
    assert result["steps_lost"] <= 2 * 2 * result["save_every_steps"]
    assert "IDENTICAL" in answer.err
    seen(f"{', '.join(e['kind'] for e in result['events'])}: same bits")


@pytest.mark.slow
def test_more_kills_than_steps_are_refused(command):
    small = ("--epochs", 1, "--batch-size", 1000, "--execution", "fixed")
    answer = command("chaos", "mlp", "--kills", 5, *small)
    assert answer.code == 2
    assert "expected fewer than the run has steps, 2. Received: 5" in answer.text


@pytest.mark.slow
@pytest.mark.fault(1, "chaos cnn --kills 5", "same bits, at most 2 K repeated per kill")
def test_chaos_cnn(tmp_path, seen):
    finished = _chaos(tmp_path, "cnn", "--kills", 5, "--json", "True")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    seen(f"same bits, {result['steps_lost']} steps lost, goodput {result['goodput']}")


@pytest.mark.slow
@pytest.mark.fault(3, "chaos language_model --workers 2 --kills 3", "same bits")
def test_chaos_of_two_workers(tmp_path, seen):
    finished = _chaos(
        tmp_path, "language_model", "--workers", 2, "--kills", 3, "--json", "True"
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    seen(f"same bits, {result['steps_lost']} steps lost, goodput {result['goodput']}")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="no extra jax")
def test_chaos_on_a_mesh(tmp_path):
    mesh = ("--strategy", "model_parallel", "--mesh", "data=2,model=2")
    finished = _chaos(tmp_path, "mlp", "--kills", 2, "--epochs", 2, *mesh)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert "IDENTICAL" in finished.stdout


@pytest.mark.slow
@pytest.mark.fault(
    1,
    "200 kills, of which a third in a save, a third in validation",
    "same bits, 200 of 200",
)
def test_two_hundred_kills(tmp_path, seen):
    """Ten runs of 216 steps with 21 kills each, two at a time.

    The last of a run may find nothing any more that it could strike.
    """
    folders = [tmp_path / f"run{seed}" for seed in range(10)]
    whole = tmp_path / "whole"
    whole.mkdir()
    _run(whole, [])
    wanted = checksums.fingerprints(whole / "run")
    plans = [
        draw(21, 216, workers=1, seed=seed, step_seconds=0.05, kinds=KILLS)
        for seed in range(10)
    ]
    struck = {kind: 0 for kind in KILLS}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for folder in folders:
            folder.mkdir()
        for seed, ended in enumerate(pool.map(_run, folders, plans)):
            sums = checksums.fingerprints(folders[seed] / "run")
            assert not checksums.differences(wanted, sums), seed
            for attempt in ended:
                if attempt.struck:
                    struck[attempt.event.kind] += 1
    assert sum(struck.values()) >= 200
    assert min(struck[events.KILL_IN_SAVE], struck[events.KILL_IN_VALIDATION]) >= 20
    seen(", ".join(f"{count} {kind}" for kind, count in struck.items()) + ": same bits")


def _run(folder, plan):
    os.makedirs(folder / "logs")
    fields = [*FIELDS, "--epochs", "12", "--save-every-steps", "20"]
    return attempts.run(
        ["train", str(RECIPE), *fields, "--run-dir", str(folder / "run")],
        plan,
        workers=1,
        logs=folder / "logs",
        stuck_seconds=30.0,
    )
