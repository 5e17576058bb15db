"""The gate holds every number that a version answers against that of the model."""

import numpy as np
import pytest

from kerascale.errors import ExportRefusedError
from kerascale.serving import gate

CALLS = [("serving_default", {"features": np.zeros((1, 2), np.float32)})]
WANT = [{"probabilities": np.array([[0.25, 0.75]], np.float32)}]


def test_answers_within_rounding_pass():
    gate.compare(CALLS, WANT, [{"probabilities": WANT[0]["probabilities"] + 1e-6}])


@pytest.mark.parametrize(
    "got",
    [
        {"probabilities": np.array([[0.25, np.nan]], np.float32)},
        {"probabilities": np.array([[0.25, np.inf]], np.float32)},
        {"probabilities": np.array([[0.75, 0.25]], np.float32)},
        {"probabilities": np.array([[0.25, 0.75]], np.float64)},
        {"probabilities": np.array([0.25, 0.75], np.float32)},
        {"outputs": np.array([[0.25, 0.75]], np.float32)},
    ],
    ids=["nan", "infinite", "other values", "other type", "other shape", "other name"],
)
def test_other_answers_are_refused(got):
    with pytest.raises(ExportRefusedError, match="does not answer as the trained one"):
        gate.compare(CALLS, WANT, [got])
