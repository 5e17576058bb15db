"""Variables that are left out, because rounding alone moves them.

Where the exact gradient is zero, the computed one is rounding, and an optimizer such
as Adam makes steps of the usual size out of it. Two runs of the same mathematics, with
sums in another order, then differ there by 100 %. Predictions do not depend on these
variables, and are compared.

A variable is left out only if a rule below has its name, and if its gradient on one
device is negligible beside those of the others.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

# A gradient that is this much smaller than the largest is rounding.
_NEGLIGIBLE = {"float64": 1e-13, "float32": 1e-6}


@dataclasses.dataclass(frozen=True)
class Rule:
    """Names of variables whose exact gradient is zero.

    Args:
        pattern: Regular expression, found in the variable's path.
        reason: Why the gradient is zero.
        third: Which third of the last axis it is about, from 0; None: all of it.
        before_normalization: Whether it is so before a batch normalisation only.
    """

    pattern: str
    reason: str
    third: int | None = None
    before_normalization: bool = False


_KEY = (
    "bias of attention keys: it adds one number to all scores of a query, which the "
    "softmax takes away"
)
RULES = (
    Rule(r"(^|/)query_key_value/bias$", _KEY, third=1),
    Rule(r"(^|[/_])key/bias$", _KEY),
    Rule(
        # MobileNet's narrow blocks end with one: no activation is between.
        r"(^|/)(bias|beta)$",
        "bias before a batch normalisation, which takes the mean away",
        before_normalization=True,
    ),
)
_MOVING_MEAN = Rule(
    r"(^|/)moving_mean$",
    "mean that holds the bias before the batch normalisation, which is left out",
)


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A variable that is not compared.

    Args:
        name: Its path.
        reason: Why.
        third: See `Rule`.
    """

    name: str
    reason: str
    third: int | None = None

    def kept(self, values: np.ndarray) -> np.ndarray:
        """What of the variable is still compared; may be empty."""
        if self.third is None:
            return values[:0].ravel() if values.ndim else np.zeros(0)
        return np.concatenate(
            [
                part.ravel()
                for i, part in enumerate(np.split(values, 3, axis=-1))
                if i != self.third
            ]
        )

    def __str__(self) -> str:
        part = "" if self.third is None else f" (part {self.third + 1} of 3)"
        return f"{self.name}{part}: {self.reason}"


def rule_of(name: str, has_batch_normalization: bool) -> Rule | None:
    """The rule that has a variable's name."""
    for rule in RULES:
        if rule.before_normalization and not has_batch_normalization:
            continue
        if re.search(rule.pattern, name):
            return rule
    return None


def left_out(
    variables: Sequence[str],
    gradients: Mapping[str, np.ndarray],
    *,
    has_batch_normalization: bool,
    precision: str,
) -> dict[int, LeftOut]:
    """Which variables are not compared.

    Args:
        variables: Paths of the weights, in the model's order.
        gradients: Index of a weight -> gradient on one device, for those that have a
            rule; `largest`: the largest absolute gradient of all.
        has_batch_normalization: Whether the model has such a layer.
        precision: That of the weights.

    Returns:
        Index of a weight -> what is left out of it.
    """
    if not gradients:
        return {}
    limit = _NEGLIGIBLE[precision] * float(gradients["largest"])
    found: dict[int, LeftOut] = {}
    normalized = False
    for index, name in enumerate(variables):
        rule = rule_of(name, has_batch_normalization)
        gradient = gradients.get(str(index))
        if rule is None or gradient is None:
            continue
        if rule.third is not None:
            gradient = np.split(gradient, 3, axis=-1)[rule.third]
        if np.max(np.abs(gradient), initial=0.0) <= limit:
            found[index] = LeftOut(name, rule.reason, rule.third)
            normalized |= rule.before_normalization
    if normalized and precision == "float32":
        # Its error is that of the bias, which in float64 is far below the limit.
        for index, name in enumerate(variables):
            if re.search(_MOVING_MEAN.pattern, name):
                found[index] = LeftOut(name, _MOVING_MEAN.reason)
    return found
