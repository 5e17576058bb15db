"""Packed data sets of a test, written without a packer."""

import numpy as np

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.manifest import Manifest


def write_flat(folder, features, labels, splits, *, kind, class_names, **fields):
    """A packed data set of rows of one shape.

    Args:
        folder: New.
        features: Of all rows.
        labels: Of all rows.
        splits: Split -> numbers of its rows.
        kind: Of the data.
        class_names: Of the data.
        fields: Others of the manifest.
    """
    folder.mkdir(parents=True)
    features.tofile(folder / layout.FEATURES)
    labels.astype(np.int64).tofile(folder / layout.LABELS)
    for split, rows in splits.items():
        np.asarray(rows, np.int64).tofile(folder / layout.INDEX.format(split=split))
    counts = {
        split: np.bincount(labels[rows], minlength=len(class_names)).tolist()
        for split, rows in splits.items()
    }
    known = {
        "source": "made in a test",
        "identity": {},
        "options": {},
        "encoding": None,
        "dtype": str(features.dtype),
        "shape": features.shape[1:],
        "num_rows": len(features),
        "feature_names": (),
        "given_splits": ("train",),
        "held_out_fraction": 0.15,
        "counts": {split: len(rows) for split, rows in splits.items()},
        "class_counts": counts,
        "fingerprint": "0" * 64,
    }
    manifest = Manifest(kind=kind, class_names=class_names, **{**known, **fields})
    (folder / layout.MANIFEST).write_text(manifest.to_json())
    return manifest
