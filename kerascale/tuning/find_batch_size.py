"""The largest batch that fits into memory, measured from below."""

import dataclasses
from collections.abc import Callable

# Of the memory that is free: the rest is for validation, and for others.
_SHARE = 0.9
# How far the answer may be from the largest one.
_TOLERANCE = 1 / 8


@dataclasses.dataclass(frozen=True)
class Tried:
    """A batch that was trained on.

    Args:
        batch_size: Examples in it.
        fits: Whether it could be.
        peak_bytes: What the training needed beside its data; None: not known.
        examples_per_second: In a step behind the first one.
        reason: Why it could not be.
    """

    batch_size: int
    fits: bool
    peak_bytes: int | None = None
    examples_per_second: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class BatchFound:
    """What was found.

    Args:
        tried: Each batch that was tried, in order.
        largest: The largest that fits.
        fastest: The one with most examples a second.
        limit: What ended the search.
    """

    tried: list[Tried]
    largest: int | None
    fastest: int | None
    limit: str


def find(
    attempt: Callable[[int], Tried],
    *,
    first: int,
    num_examples: int,
    available: int,
    multiple: int = 1,
) -> BatchFound:
    """Tries larger and larger batches, and then between the last two.

    What two batches needed tells what the next one will: one that cannot fit is not
    tried, as the operating system would end other processes too.

    Args:
        attempt: Trains on a batch of that size for a few steps.
        first: The first size.
        num_examples: How many there are: no batch is larger.
        available: Bytes of memory that may be used.
        multiple: Each size can be divided by it.
    """
    tried: list[Tried] = []
    limit = ""
    size = max(multiple, min(first, num_examples) // multiple * multiple)
    bad: int | None = None
    while True:
        expected = _expected(tried, size)
        if expected is not None and expected > _SHARE * available:
            bad = size
            limit = (
                f"{size:,} examples would need {expected / 2**20:,.0f} MiB, of "
                f"{available / 2**20:,.0f} that are free"
            )
            break
        found = attempt(size)
        tried.append(found)
        if not found.fits:
            bad, limit = size, f"{size:,} examples: {found.reason}"
            break
        if size * 2 > num_examples:
            limit = f"there are {num_examples:,} training examples"
            break
        size *= 2
    good = max((t.batch_size for t in tried if t.fits), default=None)
    while good is not None and bad is not None and bad - good > good * _TOLERANCE:
        size = (good + bad) // 2 // multiple * multiple
        expected = _expected(tried, size)
        if size <= good:
            break
        if expected is not None and expected > _SHARE * available:
            bad = size
            continue
        found = attempt(size)
        tried.append(found)
        if found.fits:
            good = size
        else:
            bad = size
    speeds = {t.batch_size: t.examples_per_second or 0.0 for t in tried if t.fits}
    fastest = max(speeds, key=speeds.__getitem__) if speeds else None
    return BatchFound(tried, good, fastest, limit)


def _expected(tried: list[Tried], size: int) -> float | None:
    """The memory that a batch will need, by what smaller ones needed."""
    known = [t for t in tried if t.fits and t.peak_bytes is not None]
    if not known:
        return None
    last = known[-1]
    slope = last.peak_bytes / last.batch_size
    if len(known) > 1:
        before = known[-2]
        more = last.batch_size - before.batch_size
        if more:
            slope = max(0.0, (last.peak_bytes - before.peak_bytes) / more)
    return last.peak_bytes + slope * (size - last.batch_size)


def text(found: BatchFound) -> str:
    """What was found, as a person reads it on a terminal."""
    lines = [f"  {'batch':>9}  {'memory, MiB':>12}  {'examples/s':>11}"]
    for each in sorted(found.tried, key=lambda t: t.batch_size):
        if not each.fits:
            lines.append(f"  {each.batch_size:>9,}  does not fit: {each.reason}")
            continue
        memory = "" if each.peak_bytes is None else f"{each.peak_bytes / 2**20:,.0f}"
        speed = each.examples_per_second or 0.0
        lines.append(f"  {each.batch_size:>9,}  {memory:>12}  {speed:>11,.0f}")
    if found.largest is None:
        return "\n".join([*lines, f"No batch fits: {found.limit}"])
    return "\n".join(
        [
            *lines,
            f"The largest that fits: {found.largest:,} ({found.limit}). The fastest: "
            f"{found.fastest:,}.",
            "A larger batch makes fewer updates in an epoch: look for the learning "
            "rate anew (--find learning-rate --batch-size N).",
        ]
    )
