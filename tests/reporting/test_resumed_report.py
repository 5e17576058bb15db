"""The report of a run that was stopped and went on is that of one that was not."""

import re
import shutil

import pytest
from helpers.fault_fixtures import Stopped
from helpers.killing import ALL_STEPS

from kerascale.cli import main
from kerascale.runs import timeline

_TIMELINE = re.compile(r'<section id="timeline">.*?</section>', re.S)


def _report(run, monkeypatch):
    """The page, made where the run has the same name as any other."""
    monkeypatch.chdir(run.parent)
    assert main(["report", run.name]) == 0
    return (run / "report.html").read_text()


def _assert_identical(run, undisturbed, capfd):
    # No gap, and no step twice.
    losses = (run / "losses.bin").read_bytes()
    assert len(losses) == 8 * ALL_STEPS
    assert losses == (undisturbed / "losses.bin").read_bytes()
    capfd.readouterr()
    assert main(["compare", str(run), str(undisturbed)]) == 0
    assert "The runs are identical" in capfd.readouterr().err


def test_the_reports_are_equal_but_for_the_timeline(
    stopped, undisturbed, tmp_path, monkeypatch, capfd
):
    half, run, other = (
        shutil.copytree(folder, tmp_path / name / "run")
        for folder, name in (
            (stopped.half, "half"),
            (stopped.whole, "whole"),
            (undisturbed, "undisturbed"),
        )
    )
    assert "This run has not finished" in _report(half, monkeypatch)
    ours = _report(run, monkeypatch)
    theirs = _report(other, monkeypatch)
    assert _TIMELINE.sub("", ours) == _TIMELINE.sub("", theirs)
    assert [(event["event"], event.get("step")) for event in timeline.read(run)] == [
        ("started", 0),
        ("stopped on request", Stopped.STEP),
        ("resumed", Stopped.STEP),
        ("finished", None),
    ]
    section = _TIMELINE.search(ours)[0]
    assert "stopped on request" in section
    assert "resumed" in section
    assert "stopped on request" not in _TIMELINE.search(theirs)[0]
    monkeypatch.chdir(tmp_path)
    _assert_identical(run, other, capfd)


@pytest.mark.slow
def test_after_a_kill_they_compare_as_identical(train, undisturbed, tmp_path, capfd):
    run = tmp_path / "run"
    assert train(run, events="step:7:SIGKILL").returncode == -9
    again = train(run)
    assert again.returncode == 0, again.stderr
    assert [event["event"] for event in timeline.read(run)] == [
        "started",
        "started",
        "finished",
    ]
    _assert_identical(run, undisturbed, capfd)
