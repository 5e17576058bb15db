"""Processes that train one trial together speak with one voice."""

import json
import os

import pytest

from kerascale.tuning import crew as crews


class Member:
    """A worker that says what a test has it say, and keeps what it is told."""

    def __init__(self, *arguments):
        self._out, self._in = os.pipe()
        self.told = []

    def fileno(self):
        return self._out

    def say(self, kind, **values):
        os.write(self._in, json.dumps({"is": kind, **values}).encode() + b"\n")

    def received(self):
        lines = os.read(self._out, 2**16).splitlines()
        return [json.loads(line) for line in lines] or None

    def send(self, message):
        self.told.append(message)

    def leave(self):
        os.close(self._in)


@pytest.fixture
def crew(monkeypatch, tmp_path):
    monkeypatch.setattr(crews, "Worker", Member)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    made = crews.Crew(0, tmp_path / "log", 2)
    made.give("trial", {"do": "trial"})
    for member in made.members:
        assert member.told.pop() == {"do": "trial"}
    return made


def test_all_do_what_the_first_is_told(crew):
    first, other = crew.members
    other.say("reached", step=1, value=0.5)
    assert crew.received() == []
    assert other.told == []
    first.say("reached", step=1, value=0.4)
    assert crew.received() == [{"is": "reached", "step": 1, "value": 0.4}]
    crew.send({"goes_on": False})
    assert first.told == other.told == [{"goes_on": False}]
    # One that comes later gets the same answer.
    other.say("reached", step=1, value=0.5)
    assert crew.received() == []
    assert other.told[1:] == [{"goes_on": False}]


def test_a_job_has_ended_when_it_has_for_all(crew):
    first, other = crew.members
    first.say("complete", score=0.4)
    assert crew.received() == []
    other.say("complete", score=0.5)
    assert crew.received() == [{"is": "complete", "score": 0.4}]
    assert not crew.is_broken


def test_who_waits_for_one_that_failed_is_not_waited_for(crew, monkeypatch):
    crew.members[1].say("failed", reason="no memory")
    assert crew.received() == []
    monkeypatch.setattr(crews, "_LATE_SECONDS", -1.0)
    assert crew.is_late
    assert crew.received() == [{"is": "failed", "reason": "no memory"}]
    assert crew.is_broken


def test_one_that_is_gone_ends_the_crew(crew):
    crew.members[1].leave()
    assert crew.received() is None
