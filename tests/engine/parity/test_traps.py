"""What plain Keras does wrong under a strategy, and kerascale does not.

Where plain Keras passes, a release has mended it, and a workaround can go.
"""

import cases
import comparing
import pytest

# A difference that no rounding makes.
WRONG = 1e-4


class Trap:
    """A case that plain Keras fails.

    Args:
        name: The case.
        workaround: What can go from `kerascale.engine` when it passes.
        strategy: Under which it fails.
        precision: In which it runs.
        slow: Whether it is run before a release only: what plain Keras does changes
            with its releases alone.
    """

    def __init__(
        self,
        name,
        workaround,
        strategy="mirrored:2",
        precision="float64",
        slow=False,
    ):
        self.name = name
        self.workaround = workaround
        self.strategy = strategy
        self.precision = precision
        self.slow = slow


TRAPS = [
    Trap("sgd", "the build from element_spec in build.py", "workers:2"),
    Trap("steps_per_execution", "the loop of executor.py", slow=True),
    Trap("jit_compile", "_jit of step.py"),
    Trap("clipnorm", "the reduction before clipping in step.py", slow=True),
    Trap("global_clipnorm", "the reduction before clipping in step.py", slow=True),
    Trap("clipvalue", "the reduction before clipping in step.py", slow=True),
    Trap("uneven", "losses.py", slow=True),
    Trap("empty_slice_dense", "the filler row of feed.py", slow=True),
    Trap("accumulation", "the accumulation of step.py"),
    Trap("ema_overwrite", "_backend_apply_gradients of keras_private.py", slow=True),
    Trap(
        "overflow",
        "the reduction before the check",
        precision="mixed_float16",
        slow=True,
    ),
    Trap("batch_normalization", "batch_norm.py", slow=True),
    Trap("stock_dropout_masks", "randomness.py"),
    Trap("custom_train_step_even", "scale_loss of optimizer_view.py", slow=True),
    Trap("masked_sequences", "the count of valid positions in losses.py", slow=True),
]


def _marks(trap):
    ways = [trap.strategy, f"plain-{trap.strategy}"]
    if cases.CASES[trap.name].deterministic:
        ways.append("one")
    marks = [pytest.mark.runs(way, trap.precision, trap.name) for way in ways]
    return marks + ([pytest.mark.slow] if trap.slow else [])


CELLS = [pytest.param(trap, id=trap.name, marks=_marks(trap)) for trap in TRAPS]


def _is_right(trap, kind, results):
    """Whether a strategy gives what one device gives, to 1e-4, or to the law."""
    strategy = kind + trap.strategy
    if results.error(strategy, trap.precision, trap.name):
        return False
    if not cases.CASES[trap.name].deterministic:
        return True
    found = results.arrays(strategy, trap.precision, trap.name)
    # Which is what plain Keras gives there: see `test_one_replica.py`.
    reference = results.arrays("one", trap.precision, trap.name)
    worst, _ = comparing.compare(reference, found, trap.precision, 65)
    return worst <= max(WRONG, comparing.BOUNDS[trap.precision])


@pytest.mark.parametrize("trap", CELLS)
def test_plain_keras_fails_and_kerascale_does_not(trap, results):
    assert _is_right(trap, "", results)
    assert not _is_right(trap, "plain-", results), (
        f"plain Keras now passes {trap.name}: {trap.workaround} can go"
    )
