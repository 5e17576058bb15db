"""The measure of the law, and its bounds."""

import left_out
import numpy as np

# Precision -> bound on the relative difference of a variable.
BOUNDS = {
    "float64": 1e-10,
    "float32": 1e-5,
    "mixed_float16": 1e-2,
    "mixed_bfloat16": 1e-2,
}
# In half precision there is none: a bias that begins with zero is then the sum of a few
# gradients, each rounded to 8 bits on each replica.
AFTER_FIVE_STEPS = {"float64": 1e-10, "float32": 1e-6}

# Metrics that count examples, of which one may fall on the other side of a tie.
_COUNTING = ("accuracy", "precision", "recall", "auc", "iou", "f1", "top_")


def relative_difference(reference, found):
    """max|difference| / max|reference|; 0 for two that are empty or zero."""
    reference, found = np.asarray(reference, float), np.asarray(found, float)
    if reference.shape != found.shape:
        return np.inf
    if not reference.size:
        return 0.0
    difference = np.max(np.abs(reference - found))
    scale = np.max(np.abs(reference))
    if np.isnan(difference):  # NaN in one, or in both: nothing agrees with it.
        return np.inf
    return float(difference / scale) if scale else float(difference and np.inf)


def bound(name, precision, examples):
    """How far a value of a result may be from that of one device."""
    kind, _, path = name.partition("/")
    if kind in ("exact", "optimizer"):
        return 0.0
    if kind == "after5":
        return AFTER_FIVE_STEPS[precision]
    limit = BOUNDS[precision]
    if kind == "history" and precision != "float64":
        counts = any(word in path.lower() for word in _COUNTING)
        return 1 / examples + limit if counts else limit
    return limit


def compare(reference, found, precision, examples):
    """Differences of all compared values, and what is wrong.

    Args:
        reference: Name -> array, of one device.
        found: The same, of a strategy.
        precision: Key of `BOUNDS`.
        examples: See `registry.Case`.

    Returns:
        The largest relative difference (one of counted examples aside), and a list of
        lines, one for each value that is beyond its bound.
    """
    worst, problems = 0.0, []
    # Only one device has these, for `test_left_out.py`.
    reference = {k: v for k, v in reference.items() if not k.startswith("gradient/")}
    if set(reference) != set(found):
        problems.append(f"only on one side: {sorted(set(reference) ^ set(found))}")
    for name in sorted(set(reference) & set(found)):
        if name.startswith("after5/") and precision not in AFTER_FIVE_STEPS:
            continue
        expected, received = reference[name], found[name]
        entry = left_out.find(name)
        if entry:
            expected, received = entry.split(expected)[1], entry.split(received)[1]
        limit = bound(name, precision, examples)
        if name.startswith("history/") and limit > BOUNDS[precision]:
            # A share of examples: how much of 1 it differs by.
            difference = float(np.max(np.abs(expected - received)))
        else:
            difference = relative_difference(expected, received)
            worst = max(worst, difference)
        if not difference <= limit:
            problems.append(f"{name}: {difference:.1e}, expected at most {limit:.0e}")
    return worst, problems
