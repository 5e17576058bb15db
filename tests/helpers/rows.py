"""Reads a source of rows as a packer does, killed behind each part if need be."""

import json

import numpy as np

from kerascale.datasets.packed.sources import SourceOptions, open_source


def collected(source, state=None):
    """All rows by split, as (features, codes); and the states behind each part."""
    found, states = {}, []
    for rows in source.read(state or {}):
        # Written down at once: it may not change.
        states.append(json.dumps(dict(rows.state)))
        if len(rows.features):
            found.setdefault(rows.split, []).append((rows.features, rows.labels))
    whole = {
        split: tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        for split, parts in found.items()
    }
    return whole, [json.loads(state) for state in states]


def facts(name, **options):
    """What is known of a source when its last row was read."""
    source = open_source(name, SourceOptions(**options))
    for _ in source.read({}):
        pass
    return source.facts()


def assert_equal(source, raw, *, state=None, before=None):
    """The rows of a source are those of data in memory, to the last bit.

    Args:
        source: The source.
        raw: The data.
        state: Where to begin; None: at the first row.
        before: Split -> rows in front of it.
    """
    found, _ = collected(source, state)
    facts = source.facts()
    assert facts.class_names == raw.class_names
    assert facts.feature_names == raw.feature_names
    for split in ("train", "validation", "test"):
        expected = getattr(raw, split)
        assert (split in source.given_splits) == (expected is not None)
        if expected is None:
            continue
        start = (before or {}).get(split, 0)
        features, codes = found.get(split, ([], np.zeros(0, np.int64)))
        wanted = expected.features[start:]
        if len(wanted):
            assert (features.dtype, features.shape) == (wanted.dtype, wanted.shape)
            np.testing.assert_array_equal(features, wanted)
        labels = codes if facts.order is None else facts.order[codes]
        np.testing.assert_array_equal(labels, expected.labels[start:])


def assert_goes_on(source, raw):
    """From the state behind each part the others follow."""
    _, states = collected(source)
    before = {}
    parts = [(rows.split, len(rows.features)) for rows in source.read({})]
    for state, (split, count) in zip(states, parts, strict=True):
        before[split] = before.get(split, 0) + count
        assert_equal(source, raw, state=state, before=before)
