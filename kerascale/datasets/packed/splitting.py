"""Which rows are trained on, and which are held back: as in memory."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerascale.datasets import splits
from kerascale.datasets.packed import layout
from kerascale.datasets.packed.growing import GrowingFile
from kerascale.datasets.raw import Kind
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.errors import RefusedError

_PART = 2**20


@dataclasses.dataclass(frozen=True)
class Splits:
    """What `split_rows` wrote: see `Manifest`."""

    counts: dict[str, int]
    class_counts: dict[str, list[int]]
    ranges: dict[str, list[int]]


def split_rows(
    folder: pathlib.Path,
    name: str,
    kind: Kind,
    runs: Sequence[Sequence[Any]],
    labels: np.ndarray,
    *,
    given: Sequence[str],
    fraction: float,
    num_classes: int,
) -> Splits:
    """Writes the row numbers of each split.

    Args:
        folder: Where to.
        name: What the user calls the data.
        kind: Of the rows.
        runs: [split, rows] of rows of one split that follow one another.
        labels: Of all rows; of targets float32 of shape (rows, targets).
        given: Splits that the source has.
        fraction: Share of the training rows that is taken for each other one.
        num_classes: How many classes there are.

    Raises:
        RefusedError: If a split has no rows, or the training rows no second class.
        OSError: If they cannot be written.
    """
    sizes = {split: sum(n for s, n in runs if s == split) for split in given}
    empty = [split for split in ("train", *given) if not sizes.get(split)]
    if empty:
        raise RefusedError(
            f"{name}: expected {empty[0]} examples. Received: none. Add some."
        )
    if kind == "corpus":  # Its source has divided it, by the fraction if need be.
        ranges = _ranges(runs)
        sizes = {split: end - begin for split, (begin, end) in ranges.items()}
        return Splits(sizes, {}, ranges)
    of_train = np.concatenate([labels[part] for part in _slices(runs, "train")])
    are_classes = labels.ndim == 1
    if are_classes:
        check_class_count(name, len(np.unique(of_train)))
    of_train = splits.strata(of_train)
    lacking = [split for split in layout.SPLITS if split not in given]
    part_of = splits.parts_of(of_train, lacking, fraction)
    counts, class_counts = {}, {}
    for split in layout.SPLITS:
        source = split if split in given else "train"
        chosen = part_of == splits.NUMBERS[split] if source == "train" else None
        of_split = of_train if chosen is None else of_train[chosen]
        if source != "train":
            of_split = np.concatenate([labels[p] for p in _slices(runs, source)])
        _write_index(folder, split, _slices(runs, source), chosen)
        counts[split] = len(of_split)
        if are_classes:
            found = np.bincount(of_split, minlength=num_classes)
            class_counts[split] = found.tolist()
    return Splits(counts, class_counts, {})


def _slices(runs: Sequence[Sequence[Any]], split: str) -> list[slice]:
    """Where the rows of a split are."""
    found, start = [], 0
    for name, count in runs:
        if name == split:
            found.append(slice(start, start + count))
        start += count
    return found


def _write_index(
    folder: pathlib.Path, split: str, slices: list[slice], chosen: np.ndarray | None
) -> None:
    """The row numbers of a split: of these rows all, or those that are chosen."""
    file = GrowingFile(folder / layout.INDEX.format(split=split))
    try:
        seen = 0
        for part in slices:
            for start in range(part.start, part.stop, _PART):
                rows = np.arange(start, min(start + _PART, part.stop), dtype=np.int64)
                wanted = slice(seen, seen + len(rows))
                seen += len(rows)
                file.write(rows if chosen is None else rows[chosen[wanted]])
        file.close()
    except BaseException:
        file.abandon()
        raise


def _ranges(runs: Sequence[Sequence[Any]]) -> dict[str, list[int]]:
    """Of splits that follow one another as a whole."""
    found, start = {}, 0
    for split, count in runs:
        if split in found:
            raise ValueError(f"expected the {split} tokens in one piece: {runs}")
        found[split] = [start, start + count]
        start += count
    return found
