"""How many examples each step has: mistakes show where slices are unequal."""

from collections.abc import Sequence


def plan(steps: int, batch_size: int, replica_counts: Sequence[int]) -> list[int]:
    """Examples of each step.

    Most steps have whole batches. One in the middle has a number that the replicas
    do not divide, so that slices are uneven; the last has one example, so that all
    replicas but one have none.

    Args:
        steps: Steps, at least 1.
        batch_size: Examples in a whole batch, at least 1.
        replica_counts: Replicas of each configuration that has several.
    """
    # One example is never divided, so there is such a number.
    uneven = next(
        size
        for size in range(max(1, batch_size * 2 // 3), 0, -1)
        if all(size % count for count in replica_counts)
    )
    if steps < 3:
        return [batch_size] * (steps - 1) + [uneven]
    sizes = [batch_size] * steps
    sizes[steps // 2] = uneven
    sizes[-1] = 1
    return sizes


def describe(sizes: Sequence[int]) -> str:
    """The sizes in words: most of them, and each step that has another."""
    whole = max(sizes)
    others = [
        f"step {i} has {size}" for i, size in enumerate(sizes, 1) if size != whole
    ]
    text = f"batches of {whole} examples"
    return f"{text}; {', '.join(others)}" if others else text
