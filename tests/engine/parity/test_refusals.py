"""What cannot be right under a strategy is refused, on every worker, with the way out.

That all processes exit is seen by the results: a worker that waited for one that had
refused would be killed, and leave none.
"""

import re

import cases  # noqa: F401 - fills the registry
import pytest
from registry import REFUSALS

CELLS = [
    pytest.param(name, strategy, marks=pytest.mark.runs(strategy, "float32", name))
    for name, refusal in REFUSALS.items()
    for strategy in refusal.strategies
]


@pytest.mark.parametrize(("name", "strategy"), CELLS)
def test_is_refused(name, strategy, results):
    message = str(results.arrays(strategy, "float32", name)["message"])
    assert re.search(REFUSALS[name].message, message, re.DOTALL), message
