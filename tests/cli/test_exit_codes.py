"""What each ending of a command is to a script: its exit code."""

import pytest

from kerascale import cli, errors
from kerascale.cli import recipes, results
from kerascale.diagnostics import verify


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (errors.RefusedError("expected a name"), 2),
        (errors.NonFiniteError("the loss became nan"), 1),
        (OSError("no room"), 1),
        (errors.StoppedError(12), 75),
        (KeyboardInterrupt(), 130),
        (None, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_of_what_a_command_raises(raised, code, monkeypatch):
    def run(arguments):
        if raised is not None:
            raise raised

    monkeypatch.setattr(recipes, "run", run)
    assert cli.main(["recipes"]) == code


class _Report:
    def __init__(self, passed):
        self._passed = passed

    def __bool__(self):
        return self._passed

    def text(self):
        return "the report"

    def to_dict(self):
        return {"passed": self._passed}


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_of_a_report(passed, code, flags, monkeypatch, capsys):
    monkeypatch.setattr(verify, "verify_recipe", lambda *a, **k: _Report(passed))
    assert cli.main(["verify", "mlp", *flags]) == code
    report = _Report(passed)
    assert results.finish_report(report, as_json=bool(flags), began=0.0) == code
    assert "the report" in "".join(capsys.readouterr())
