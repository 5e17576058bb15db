"""A packed data set that is read: its files, mapped, and the rows of its splits."""

import dataclasses
import functools
import os
import pathlib

import numpy as np

from kerascale.datasets import splits
from kerascale.datasets.packed import layout, manifest, mapped
from kerascale.datasets.packed.manifest import Manifest
from kerascale.errors import RefusedError

PREFIX = "packed:"


@dataclasses.dataclass(frozen=True)
class Packed:
    """A packed data set.

    Args:
        name: What the user calls it.
        folder: Where it is.
        manifest: What it holds.
    """

    name: str
    folder: pathlib.Path
    manifest: Manifest

    @functools.cached_property
    def features(self) -> np.ndarray:
        """Rows of one shape, mapped; of a corpus its tokens."""
        held = self.manifest
        shape = (held.num_rows, *held.shape)
        return mapped.array(self.folder / layout.FEATURES, held.dtype, shape)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """int64 of shape (rows,), or float32 of shape (rows, targets); mapped."""
        held = self.manifest
        shape, dtype = (held.num_rows,), "int64"
        if held.target_names:
            shape, dtype = (held.num_rows, len(held.target_names)), "float32"
        return mapped.array(self.folder / layout.LABELS, dtype, shape)

    @functools.cached_property
    def index(self) -> dict[str, np.ndarray]:
        """Split -> its rows as it was packed; int64 of shape (examples,), mapped."""
        return {
            split: mapped.array(
                self.folder / layout.INDEX.format(split=split), "int64", (count,)
            )
            for split, count in self.manifest.counts.items()
        }

    def split_rows(self, fraction: float | None = None) -> dict[str, np.ndarray]:
        """Split -> its rows in ascending order, int64.

        Args:
            fraction: The share of the training rows to hold back for each split that
                the source lacked; None: as it was packed.

        Raises:
            RefusedError: If there are too few rows to hold any back.
        """
        held = self.manifest
        lacking = [s for s in ("test", "validation") if s not in held.given_splits]
        rows = dict(self.index)
        if fraction in (None, held.held_out_fraction) or not lacking:
            return rows
        # Taken out anew of what the source gave for training, by the rule of data in
        # memory.
        train = np.sort(np.concatenate([rows[s] for s in ("train", *lacking)]))
        strata = splits.strata(self.labels[train])
        part_of = splits.parts_of(strata, lacking, fraction)
        for split in ("train", *lacking):
            rows[split] = train[part_of == splits.NUMBERS[split]]
        return rows

    def class_counts(self, rows: np.ndarray) -> np.ndarray:
        """How many of some rows each class has."""
        count = len(self.manifest.class_names)
        total = np.zeros(count, np.int64)
        part = 2**20
        for start in range(0, len(rows), part):
            found = self.labels[rows[start : start + part]]
            total += np.bincount(found, minlength=count)
        return total


def open_packed(name: str) -> Packed:
    """Opens `packed:FOLDER`, or the folder itself.

    Raises:
        RefusedError: If it is no packed data set, or one of another version.
    """
    path = pathlib.Path(os.path.expanduser(name.removeprefix(PREFIX)))
    held = manifest.load(path)
    unknown = sorted(set(held.counts) - set(layout.SPLITS))
    if unknown:
        raise RefusedError(
            f"packed: expected the splits {', '.join(layout.SPLITS)}. Received: {path} "
            f"with {', '.join(unknown)}. Pack its source again."
        )
    return Packed(name, path, held)
