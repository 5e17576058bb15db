"""Rows that Python reads by their number: equal to the same rows in memory."""

import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import host_rows

_COUNT = 200


class _Source:
    """Rows as (features, label); counts its calls."""

    def __init__(self, bad=None):
        generator = np.random.default_rng(0)
        self.features = generator.integers(0, 256, (_COUNT, 8, 8, 1), dtype=np.uint8)
        self.values = generator.integers(0, 3, _COUNT)
        self.bad = bad
        self.inside = self.most = 0

    def __len__(self):
        return _COUNT

    def __getitem__(self, index):
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            if index == self.bad:
                raise OSError("cannot read it")
            return self.features[index], self.values[index]
        finally:
            self.inside -= 1


class _Many(_Source):
    """Rows as mappings, many at once."""

    __getitem__ = None

    def __getitems__(self, indices):
        return [{"image": self.features[i], "label": self.values[i]} for i in indices]


def _config(**fields):
    return ks.load_recipe("cnn").Config(batch_size=16, seed=5, **fields)


@pytest.mark.parametrize(("make", "threads"), [(_Source, 1), (_Many, 3)])
def test_batches_are_those_of_arrays(make, threads):
    source = make()
    config = _config(augment_flip=True, class_weight=("1=2",))
    ours = ks.datasets.from_indexed(source, config, num_threads=threads)
    theirs = ks.datasets.from_arrays(source.features, source.values, config)
    for split in ("train", "validation", "test"):
        pair = getattr(ours, split).dataset(2), getattr(theirs, split).dataset(2)
        for one, other in zip(*pair, strict=True):
            for tensor, expected in zip(one, other, strict=True):
                np.testing.assert_array_equal(tensor, expected)
    np.testing.assert_allclose(ours.mean, theirs.mean)
    np.testing.assert_allclose(ours.variance, theirs.variance)
    assert source.most <= 1


def test_splits_of_their_own_and_known_labels_are_taken():
    config, source = _config(), _Source()
    data = ks.datasets.from_indexed(
        source, config, validation=_Source(), test=_Many(), labels=source.values
    )
    assert data.info.num_examples == dict.fromkeys(
        ("train", "validation", "test"), _COUNT
    )


def test_a_row_that_cannot_be_read_is_named():
    config = _config()
    source = _Source()
    data = ks.datasets.from_indexed(source, config)
    source.bad = 7
    read = tf.function(data.train.host.__call__)
    with pytest.raises(tf.errors.OpError) as caught:
        read(tf.constant([5, 6, 7], tf.int64))
    text = str(host_rows.cause(caught.value))
    assert text == "indexed, train, row 7: OSError: cannot read it"


def test_rows_of_another_form_are_refused():
    class Ragged(_Source):
        def __getitem__(self, index):
            features, label = super().__getitem__(index)
            return features[: 8 - index % 2], label

    with pytest.raises(RuntimeError, match=r"row 1: expected features of shape"):
        ks.datasets.from_indexed(Ragged(), _config())
    with pytest.raises(ks.RefusedError, match="expected an object with __len__"):
        ks.datasets.from_indexed(iter([]), _config())
    with pytest.raises(ks.RefusedError, match=r"expected \(features, label\)"):
        ks.datasets.from_indexed([1, 2, 3], _config())
    with pytest.raises(ks.RefusedError, match="200 labels, class indices"):
        ks.datasets.from_indexed(_Source(), _config(), labels=[0, 1])
