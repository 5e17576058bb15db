"""The global order of an epoch is a permutation that starts anywhere."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

import kerascale as ks
from kerascale.datasets.order import shuffled
from kerascale.errors import RefusedError

SEEDS = st.integers(0, 2**63 - 1)
EPOCHS = st.integers(0, 2**31)


def order(num_examples, seed=7, epoch=3, start=0, stop=None):
    stop = num_examples if stop is None else stop
    positions = tf.range(start, stop, dtype=tf.int64)
    return shuffled(
        positions, seed=seed, epoch=epoch, num_examples=num_examples
    ).numpy()


@settings(max_examples=40, deadline=None)
@given(num_examples=st.integers(1, 400), seed=SEEDS, epoch=EPOCHS)
@example(num_examples=1, seed=0, epoch=0)
@example(num_examples=2, seed=2**63 - 1, epoch=2**40)
@example(num_examples=4**4 + 1, seed=0, epoch=0)
def test_it_is_a_permutation(num_examples, seed, epoch):
    got = order(num_examples, seed, epoch)
    np.testing.assert_array_equal(np.sort(got), np.arange(num_examples))


@pytest.mark.parametrize("num_examples", [4**8 - 1, 4**8, 4**8 + 1, 4**8 + 2, 4**9 + 1])
def test_large_sizes_around_the_block_of_the_cipher(num_examples):
    got = order(num_examples)
    np.testing.assert_array_equal(np.sort(got), np.arange(num_examples))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_slice_of_positions_is_the_slice_of_the_whole(data):
    num_examples = data.draw(st.sampled_from([1, 2, 5, 17, 300, 4**8 + 1]))
    start = data.draw(st.integers(0, num_examples))
    stop = data.draw(st.integers(start, min(num_examples, start + 50)))
    seed, epoch = data.draw(SEEDS), data.draw(st.integers(0, 9))
    positions = range(start, stop)
    one_by_one = [order(num_examples, seed, epoch, p, p + 1)[0] for p in positions]
    got = order(num_examples, seed, epoch, start, stop)
    np.testing.assert_array_equal(got, np.asarray(one_by_one, np.int64))


@pytest.mark.parametrize("shuffle", [True, False])
def test_columns_of_batches_are_those_of_the_whole(shuffle):
    gather = ks.datasets.gathers.gather_arrays(np.zeros((50, 1)), np.zeros(50))
    batches = ks.datasets.Batches(gather, 50, 12, seed=3, shuffle=shuffle)
    at = tf.constant(1, tf.int64)
    whole = batches.indices_of(at, at, 3).numpy()
    part = batches.indices_of(at, at, 3, (5, 4)).numpy()
    np.testing.assert_array_equal(part, whole[:, 5:9])


def test_no_positions_give_no_indices():
    assert order(10, start=4, stop=4).shape == (0,)


def test_two_examples_come_in_both_orders():
    firsts = [order(2, epoch=epoch, stop=1)[0] for epoch in range(60)]
    assert 15 < sum(firsts) < 45


def test_every_epoch_has_its_own_order():
    # 256 and 65,536 apart as well: TensorFlow's op keeps 8 bits of a seed word.
    epochs = [*range(300), 2**16, 2**16 + 1, 2**32, 2**32 + 1]
    assert len({order(100, epoch=epoch).tobytes() for epoch in epochs}) == len(epochs)


def test_every_seed_has_its_own_order():
    seeds = [*range(300), 2**16, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1]
    assert len({order(100, seed=seed).tobytes() for seed in seeds}) == len(seeds)


def test_seed_and_epoch_are_not_exchangeable():
    assert (order(100, seed=1, epoch=2) != order(100, seed=2, epoch=1)).any()


def test_it_is_the_same_in_graphs_with_a_traced_epoch():
    @tf.function
    def traced(positions, epoch):
        return shuffled(positions, seed=7, epoch=epoch, num_examples=300)

    for epoch in (0, 3):
        in_function = traced(tf.range(300, dtype=tf.int64), tf.constant(epoch))
        batches = tf.data.Dataset.range(300).batch(64)
        mapped = tf.data.Dataset.zip(
            batches, tf.data.Dataset.from_tensors(tf.constant(epoch, tf.int64)).repeat()
        ).map(lambda p, e: shuffled(p, seed=7, epoch=e, num_examples=300))
        in_data = np.concatenate(list(mapped.as_numpy_iterator()))
        np.testing.assert_array_equal(in_function, order(300, epoch=epoch))
        np.testing.assert_array_equal(in_data, order(300, epoch=epoch))


def test_the_order_of_a_seed_stays_what_it_was():
    # A change here makes resumed runs see other batches: say so in the changelog.
    assert order(10, seed=7, epoch=3).tolist() == [2, 8, 1, 0, 5, 3, 4, 9, 7, 6]


@pytest.mark.parametrize("num_examples", [1797, 60_000])
def test_it_looks_like_a_fair_draw(num_examples):
    half, halves, steps, places = num_examples // 2, [], [], []
    for epoch in range(30):
        got = order(num_examples, epoch=epoch)
        halves.append((got[:half] < half).sum())
        steps.append(np.unique(np.diff(got), return_counts=True)[1].max())
        places.append(got[:20])
    deviations = (np.asarray(halves) - half / 2) / np.sqrt(num_examples / 16)
    assert 0.6 < deviations.std() < 1.5
    # 4 rounds of the cipher, TensorFlow's choice, repeat one step 34 times.
    assert np.mean(steps) < 8
    # The same positions in different epochs: uniform over the examples.
    sixths = np.bincount(np.ravel(places) * 6 // num_examples, minlength=6)
    assert ((sixths - 100) ** 2 / 100).sum() < 20.5  # chi-square, p = 0.001


@pytest.mark.parametrize("num_examples", [0, -3, 2.5])
def test_nothing_to_shuffle_is_refused(num_examples):
    with pytest.raises(RefusedError, match=f"Received: num_examples={num_examples}"):
        shuffled(
            tf.range(1, dtype=tf.int64), seed=7, epoch=3, num_examples=num_examples
        )


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "seven"])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(RefusedError, match=f"Received: seed={seed!r}"):
        order(10, seed=seed)


@pytest.mark.parametrize(
    "num_examples",
    # Without a whole block; one more than blocks; than windows of 512; 4**k + 1.
    [*range(1, 9), 255, 256, 257, 1000, 65_537, 131_071, 131_072, 131_073, 262_145],
)
def test_blocks_are_a_permutation(num_examples):
    positions = tf.range(num_examples, dtype=tf.int64)
    found = shuffled(
        positions, seed=7, epoch=3, num_examples=num_examples, how="blocks"
    ).numpy()
    np.testing.assert_array_equal(np.sort(found), np.arange(num_examples))


def test_blocks_keep_neighbours_together_and_differ_by_epoch():
    count = 600_000
    orders = [
        shuffled(
            tf.range(130_000, dtype=tf.int64),
            seed=7,
            epoch=epoch,
            num_examples=count,
            how="blocks",
        ).numpy()
        for epoch in (0, 1)
    ]
    for found in orders:
        assert len(np.unique(found // 256)) <= 513
        # The window is drawn of all of the data, and mixed in itself.
        assert np.ptp(found) > 0.9 * count
        assert abs(np.corrcoef(found, np.arange(len(found)))[0, 1]) < 0.02
    assert (orders[0] != orders[1]).mean() > 0.99


def test_a_position_of_blocks_costs_nothing_for_the_others():
    count = 10**10 + 123
    positions = tf.constant([0, 5, count - 1], tf.int64)
    found = shuffled(positions, seed=1, epoch=0, num_examples=count, how="blocks")
    alone = shuffled(positions[1:2], seed=1, epoch=0, num_examples=count, how="blocks")
    assert int(found[1]) == int(alone[0])
    assert 0 <= int(tf.reduce_min(found)) <= int(tf.reduce_max(found)) < count
