"""What tests of packed data sets share: reading one back, and what it should hold."""

import hashlib
import pathlib

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from kerascale.datasets import memory, splits
from kerascale.datasets.packed import layout, manifest, packing
from kerascale.datasets.packed.sources import SourceOptions, open_source
from kerascale.datasets.raw import RawData, Split


def pack(name, folder, *, again=False, fraction=0.15, **options):
    """Packs a data set by its name, as the command does."""
    how = SourceOptions(validation_fraction=fraction, **options)
    source = open_source(name, how)
    return packing.pack(
        source,
        folder,
        options=how.of_rows(),
        validation_fraction=fraction,
        again=again,
    )


def records(folder: pathlib.Path) -> list[bytes]:
    """All rows of any size, in order."""
    found = []
    for shard in manifest.load(folder).shards:
        found += ArrayRecordReader(str(folder / shard["file"])).read_all()
    return found


def read(folder: pathlib.Path) -> dict[str, Split]:
    """The splits of a packed data set, as its files have them."""
    made = manifest.load(folder)
    if made.encoding is None:
        flat = np.fromfile(folder / layout.FEATURES, np.dtype(made.dtype))
        features = flat.reshape(-1, *made.shape)
    else:
        features = np.empty(made.num_rows, object)
        rows = records(folder)
        features[:] = [r.decode() for r in rows] if made.kind == "text" else rows
    labels = np.fromfile(folder / layout.LABELS, "<i8")
    found = {}
    for split in made.counts:
        index = np.fromfile(folder / layout.INDEX.format(split=split), "<i8")
        found[split] = Split(features[index], labels[index])
    return found


def in_memory(raw: RawData, fraction: float = 0.15) -> dict[str, Split]:
    """The splits that training makes of the same data in memory."""
    train, validation, test = raw.train, raw.validation, raw.test
    if test is None:
        train, test = splits.split_off(train, fraction, salt=1)
    if validation is None:
        train, validation = splits.split_off(train, fraction, salt=2)
    return {"train": train, "validation": validation, "test": test}


def assert_same(folder: pathlib.Path, raw: RawData, fraction: float = 0.15) -> None:
    """A packed data set is what training has in memory, to the last bit."""
    made, found = manifest.load(folder), read(folder)
    expected = in_memory(raw, fraction)
    assert made.counts == {split: len(part) for split, part in expected.items()}
    assert (made.class_names, made.kind) == (raw.class_names, raw.kind)
    for split, part in expected.items():
        assert found[split].features.dtype == part.features.dtype
        np.testing.assert_array_equal(found[split].features, part.features)
        np.testing.assert_array_equal(found[split].labels, part.labels)
        counts = np.bincount(part.labels, minlength=len(raw.class_names))
        assert made.class_counts[split] == counts.tolist()
    if raw.kind != "text":
        mean, variance = memory.moments(
            expected["train"].features, per_feature=raw.kind == "vector"
        )
        assert np.array_equal(made.mean, mean)
        assert np.array_equal(
            made.variance, memory.without_constants(mean, variance)[0]
        )


def sums(folder: pathlib.Path) -> dict[str, str]:
    """The sha256 of every file but the manifest, which has the time of the source."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != layout.MANIFEST
    }
