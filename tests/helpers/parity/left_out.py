"""Variables that are not compared, because in exact arithmetic they do not move.

Rounding alone moves them, by 100 % of what they are. `test_left_out.py` checks each
reason on one device; the predictions of these models are compared.
"""

import dataclasses
import fnmatch

import numpy as np


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A kind of variable whose exact gradient, or exact value, is zero.

    Args:
        pattern: Of the variable's path.
        zero: `gradient` or `value`.
        reason: Why it is zero.
        third: Which third of the last axis it is about, from 0; None: all of it.
    """

    pattern: str
    zero: str
    reason: str
    third: int | None = None

    def split(self, array):
        """The part of a variable that is left out, and what is compared."""
        if self.third is None:
            return array, array[:0]
        parts = np.split(array, 3, axis=-1)
        left_out = parts.pop(self.third)
        return left_out, np.concatenate(parts, axis=-1)


_KEY = (
    "the key bias of attention adds one number to all scores of a query, which softmax "
    "takes away"
)
_CONVOLUTION = "the mean of such a convolution of values whose mean is zero"

LEFT_OUT = (
    LeftOut(
        "*before_norm/bias",
        "gradient",
        "a bias directly before a normalisation, which takes the mean away",
    ),
    LeftOut("*/key/bias", "gradient", _KEY),
    # Of kerascale.layers: the biases of query, key and value in one.
    LeftOut("*/query_key_value/bias", "gradient", _KEY, third=1),
    # MobileNetV2's bottlenecks.
    LeftOut(
        "*project_BN/beta",
        "gradient",
        "a shift by channel that only convolutions of size 1 see, directly before a "
        "normalisation",
    ),
    LeftOut("*expand_BN/moving_mean", "value", _CONVOLUTION),
    LeftOut("*Conv_1_bn/moving_mean", "value", _CONVOLUTION),
)


def find(path):
    """The entry that leaves a variable out; None: it is compared."""
    for entry in LEFT_OUT:
        if fnmatch.fnmatchcase(path, entry.pattern):
            return entry
    return None
