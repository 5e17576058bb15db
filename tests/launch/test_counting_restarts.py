"""How often a job is started again, and after which pauses."""

import types

from kerascale.launch.restarts import Restarts
from kerascale.launch.summary import Ending


def _failed(step):
    worker = types.SimpleNamespace(code=1, reason="failed")
    return Ending([worker], failed=worker, step=step)


def test_as_often_as_was_allowed_and_no_more():
    restarts = Restarts(most=2, backoff_seconds=1.0)
    verdicts = [restarts.judge(_failed(step)) for step in (10, 20, 30)]
    assert [verdict.again for verdict in verdicts] == [True, True, False]
    assert [verdict.seconds for verdict in verdicts[:2]] == [1.0, 2.0]
    assert "given up after 2 restarts" in verdicts[2].text
    assert restarts.reasons == {"failed": 2}


def test_never_unless_it_is_asked_for():
    assert not Restarts(most=0, backoff_seconds=1.0).judge(_failed(10)).again
