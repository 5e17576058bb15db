"""Augmentation and its random numbers depend on the example, never on its batch."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerascale.datasets import stateless
from kerascale.datasets.augmentation import (
    Augmentation,
    change_contrast,
    inverse_transforms,
    move,
)
from kerascale.errors import RefusedError

STRONG = Augmentation(
    shift=0.2, rotation=30.0, zoom=0.2, contrast=0.4, flip=True, crop=3, cutout=0.3
)


def uniform(indices, seed=7, epoch=3, draws=1, **kwargs):
    indices = tf.constant(indices, tf.int64)
    return stateless.uniform(
        indices, seed=seed, epoch=epoch, draws=draws, **kwargs
    ).numpy()


def make_images(dtype="uint8", shape=(37, 28, 20, 3), highest=255):
    images = np.random.default_rng(1).integers(0, highest + 1, shape)
    return images.astype(dtype) if dtype == "uint8" else np.float32(images / highest)


def move_by(images, right=0.0, down=0.0, rotation=0.0, scale=1.0):
    ones = np.ones(len(images), np.float32)
    return move(
        tf.constant(images, tf.float32),
        right=ones * right,
        down=ones * down,
        rotation=ones * rotation,
        scale=ones * scale,
    ).numpy()


# The random numbers.


def test_the_hash_is_splitmix64():
    # The first outputs of the published generator for the seed 1234567.
    key, counters = tf.constant(1234567, tf.uint64), tf.range(5, dtype=tf.int64)
    got = stateless._counter_hash(key, tf.cast(counters, tf.uint64))
    assert got.numpy().tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_the_numbers_of_a_seed_stay_what_they_were():
    # A change here makes resumed runs see other images: say so in the changelog.
    numbers = uniform([0, 1], draws=2) * 2**24
    assert numbers.tolist() == [[4671029, 15086140], [16286090, 10250157]]


def test_numbers_are_uniform():
    numbers = uniform(np.arange(50_000), draws=4)
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        counts = np.histogram(column, bins=100, range=(0, 1))[0]
        assert ((counts - 500) ** 2 / 500).sum() < 148.2  # chi-square, p = 0.001
        expected = np.arange(50_000) / 50_000
        distance = np.abs(np.sort(column) - expected).max()
        assert distance * np.sqrt(50_000) < 1.95  # Kolmogorov-Smirnov, p = 0.001


def test_neighbours_are_independent():
    indices = np.arange(20_000)
    draws = uniform(indices, draws=3)
    columns = [
        *draws.T,
        uniform(indices + 1)[:, 0],
        uniform(indices + 2**32)[:, 0],
        uniform(indices, epoch=4)[:, 0],
        uniform(indices, epoch=3 + 2**32)[:, 0],
        uniform(indices, seed=8)[:, 0],
        uniform(indices, seed=7 + 2**32)[:, 0],
        uniform(indices, stream="other")[:, 0],
        uniform(indices * 2)[:, 0],
    ]
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 4.5 / np.sqrt(20_000)
    # Not only the line: the pairs fill the square evenly.
    for other in columns[1:]:
        counts = np.histogram2d(columns[0], other, bins=10, range=[(0, 1)] * 2)[0]
        assert ((counts - 200) ** 2 / 200).sum() < 160  # 99 degrees of freedom


def test_epochs_of_one_example_are_uniform():
    numbers = [uniform([5], epoch=epoch, draws=3)[0] for epoch in range(400)]
    counts = np.histogram(np.ravel(numbers), bins=10, range=(0, 1))[0]
    assert ((counts - 120) ** 2 / 120).sum() < 27.9  # chi-square, p = 0.001


def test_a_number_does_not_depend_on_its_batch():
    whole = uniform(np.arange(100), draws=5)
    np.testing.assert_array_equal(uniform([71, 3, 3], draws=5), whole[[71, 3, 3]])
    np.testing.assert_array_equal(uniform([71], draws=2), whole[[71], :2])
    assert uniform([], draws=5).shape == (0, 5)


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_numbers_are_the_same_in_a_graph(dtype):
    @tf.function
    def traced(indices, epoch):
        return stateless.uniform(indices, seed=7, epoch=epoch, draws=5)

    got = traced(tf.range(9, dtype=dtype), tf.constant(3, dtype))
    np.testing.assert_array_equal(got, uniform(np.arange(9), draws=5))


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(RefusedError, match=r"from 0 to 2\*\*63 - 1. Received: seed="):
        uniform([0], seed=seed)


# The geometry, with given parameters.


def test_no_movement_is_the_identity():
    images = make_images("float32")
    np.testing.assert_array_equal(move_by(images), images)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, 2), (-4, 5), (1, -6)])
def test_whole_pixels_are_a_roll_with_zeros(right, down):
    images = make_images("float32")
    expected = np.roll(images, (down, right), axis=(1, 2))
    expected[:, slice(0, down) if down >= 0 else slice(down, None)] = 0
    expected[:, :, slice(0, right) if right >= 0 else slice(right, None)] = 0
    np.testing.assert_array_equal(move_by(images, right, down), expected)


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_quarter_turns_are_rot90(turns, side):
    images = make_images("float32", (5, side, side, 3))
    expected = np.rot90(images, turns, axes=(1, 2))
    np.testing.assert_allclose(
        move_by(images, rotation=90 * turns), expected, atol=1e-6
    )


def test_a_scale_of_two_doubles_what_is_in_the_middle():
    images = make_images("float32", (1, 5, 5, 1))
    np.testing.assert_allclose(
        move_by(images, scale=2)[:, ::2, ::2], images[:, 1:4, 1:4], atol=1e-6
    )


def test_transforms_shift_after_the_rotation():
    rows = inverse_transforms(
        right=[1.0], down=[2.0], rotation=[90.0], scale=[2.0], height=11, width=21
    ).numpy()[0]
    # The centre (10, 5) of the image is to be seen at (11, 7).
    x = rows[0] * 11 + rows[1] * 7 + rows[2]
    y = rows[3] * 11 + rows[4] * 7 + rows[5]
    np.testing.assert_allclose([x, y], [10, 5], atol=1e-5)
    np.testing.assert_allclose(rows[[0, 1, 3, 4]], [0, -0.5, 0.5, 0], atol=1e-6)


def test_contrast_keeps_the_mean_of_each_image():
    images = make_images("float32")
    factors = tf.linspace(0.0, 1.8, len(images))
    got = change_contrast(tf.constant(images), factors).numpy()
    mean = images.mean((1, 2, 3), keepdims=True)
    spread = factors.numpy()[:, None, None, None]
    np.testing.assert_allclose(got, mean + (images - mean) * spread, atol=1e-5)


def test_contrast_of_a_flat_image_changes_nothing():
    images = np.full((2, 4, 4, 1), 3.0, np.float32)
    got = change_contrast(tf.constant(images), tf.constant([0.5, 1.5]))
    np.testing.assert_array_equal(got, images)


# The augmentation as a whole.


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_no_strength_is_the_identity(dtype):
    images = make_images(dtype)
    assert not Augmentation().active
    got = Augmentation()(images, tf.range(37), 3, 7)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, images)


def test_vanishing_strengths_are_the_identity_too():
    tiny = Augmentation(shift=1e-30, rotation=1e-30, zoom=1e-30, contrast=1e-30)
    images = make_images()
    np.testing.assert_array_equal(tiny(images, tf.range(37), 3, 7), images)


@pytest.mark.parametrize("name", ["shift", "rotation", "zoom", "contrast"])
def test_each_strength_alone_is_active(name):
    augment = Augmentation(**{name: 0.5})
    assert augment.active
    images = make_images()
    assert (augment(images, tf.range(37), 3, 7).numpy() != images).any()


def changed(images, **strengths):
    return Augmentation(**strengths)(images, tf.range(len(images)), 3, 7).numpy()


def test_half_of_the_images_are_mirrored():
    images = make_images("uint8", (400, 4, 6, 3))
    got = changed(images, flip=True)
    is_same = (got == images).all((1, 2, 3))
    is_mirrored = (got == images[:, :, ::-1]).all((1, 2, 3))
    assert (is_same ^ is_mirrored).all()
    assert 160 < is_mirrored.sum() < 240


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_crop_moves_whole_pixels(dtype):
    images = make_images(dtype, (400, 9, 11, 1))
    images[:, 0, 0] = 0  # What comes in is the darkest value of the image.
    got = changed(images, crop=2)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = np.zeros((5, 5), int)
    for one, wide in zip(got, padded, strict=True):
        places = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if (wide[row : row + 9, column : column + 11] == one).all()
        ]
        assert len(places) == 1
        seen[places[0]] += 1
    assert seen.min() > 3
    assert seen.max() < 40


def test_a_rectangle_is_cut_out():
    images = make_images("uint8", (300, 10, 20, 2)) // 2 + 1
    images[:, 0, 0] = 0
    got = changed(images, cutout=0.5)
    is_cut = (got == 0).all(-1)
    is_cut[:, 0, 0] = False
    kept = got[~is_cut]
    np.testing.assert_array_equal(kept, images[~is_cut])
    sizes = is_cut.sum((1, 2))
    assert sizes.max() == 5 * 10  # A whole one; at the border a part of it.
    assert sizes.min() < 25
    for one in is_cut:
        rows, columns = np.flatnonzero(one.any(1)), np.flatnonzero(one.any(0))
        if one.sum() < 50 and one[0, :2].any():
            continue  # Beside the pixel that was 0 already.
        assert one[np.ix_(rows, columns)].all()


def test_a_new_change_leaves_the_others_alone():
    images = make_images("uint8")
    assert (changed(images, shift=0.1) != changed(images, shift=0.2)).any()
    got = changed(images, contrast=0.3, cutout=0.2)
    is_cut = got != changed(images, contrast=0.3)
    assert 0 < is_cut.mean() < 0.06


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("compiled", [False, True])
def test_an_example_does_not_depend_on_its_batch(dtype, compiled):
    images = make_images(dtype)
    whole = STRONG(images, tf.range(37), 3, 7).numpy()

    def augment(images, places):
        return STRONG(images, places, 3, 7)

    if compiled:  # for any batch, as a data pipeline does it
        image_spec = tf.TensorSpec((None, 28, 20, 3), dtype)
        place_spec = tf.TensorSpec((None,), tf.int32)
        augment = tf.function(augment, input_signature=[image_spec, place_spec])
    for places in ([0], [36], [5, 5], [9, 2, 30], list(range(13, 30))):
        got = augment(tf.constant(images[places]), tf.constant(places))
        np.testing.assert_array_equal(got, whole[places])


@pytest.mark.parametrize("batch_size", [1, 5, 16, 37])
def test_the_batch_size_and_the_shard_do_not_matter(batch_size):
    images = tf.constant(make_images())
    whole = STRONG(images, tf.range(37), 3, 7).numpy()
    for shards in (1, 2):
        for shard in range(shards):
            dataset = tf.data.Dataset.range(37).shard(shards, shard).batch(batch_size)
            dataset = dataset.map(
                lambda i: STRONG(tf.gather(images, i), i, 3, 7), num_parallel_calls=2
            )
            got = np.concatenate(list(dataset.as_numpy_iterator()))
            np.testing.assert_array_equal(got, whole[shard::shards])


def test_epochs_seeds_and_examples_draw_differently():
    image = make_images(shape=(1, 28, 28, 1))
    images = np.repeat(image, 50, axis=0)
    seen = {
        changed.tobytes()
        for epoch, seed in [(3, 7), (4, 7), (3, 8)]
        for changed in STRONG(images, tf.range(50), epoch, seed).numpy()
    }
    assert len(seen) == 150


def test_one_strength_leaves_the_other_draws_alone():
    images = make_images("float32")
    moved = Augmentation(rotation=20.0)(images, tf.range(37), 3, 7)
    both = Augmentation(rotation=20.0, contrast=1e-30)(images, tf.range(37), 3, 7)
    np.testing.assert_allclose(both, moved, atol=1e-5)


def test_shifts_fill_their_range_in_both_directions():
    # A dot in the middle; where it went is where its mass is.
    images = np.zeros((500, 21, 31, 1), np.float32)
    images[:, 10, 15] = 1
    got = Augmentation(shift=0.2)(images, tf.range(500), 3, 7).numpy()[..., 0]
    down = (got.sum(2) @ np.arange(21)) - 10
    right = (got.sum(1) @ np.arange(31)) - 15
    for moved, limit in ((down, 0.2 * 21), (right, 0.2 * 31)):
        # A pixel more: the range of the image clips nothing, but the sums round.
        assert np.abs(moved).max() <= limit + 1e-3
        assert moved.min() < -0.95 * limit
        assert moved.max() > 0.95 * limit
        assert abs(moved.mean()) < 0.1 * limit
    assert abs(np.corrcoef(right, down)[0, 1]) < 0.15


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_values_stay_in_the_range_of_their_image(dtype):
    images = make_images(dtype, (20, 8, 8, 1), highest=16)
    images[0] = 3
    images[1] += images.dtype.type(5)
    got = STRONG(images, tf.range(20), 3, 7)
    assert got.dtype == dtype
    assert (got.numpy().min((1, 2, 3)) >= images.min((1, 2, 3))).all()
    assert (got.numpy().max((1, 2, 3)) <= images.max((1, 2, 3))).all()
    np.testing.assert_array_equal(got[0], images[0])


def test_shapes_known_and_unknown_are_kept():
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.uint8)])
    def known(images):
        got = STRONG(images, tf.range(tf.shape(images)[0]), 3, 7)
        shapes.append(got.shape.as_list())
        return got

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None), tf.uint8)])
    def unknown(images):
        return STRONG(images, tf.range(tf.shape(images)[0]), 3, 7)

    shapes = []
    images = tf.constant(make_images(shape=(4, 8, 8, 1)))
    np.testing.assert_array_equal(known(images), unknown(images))
    assert shapes == [[None, 8, 8, 1]]
    assert known(images[:0]).shape == (0, 8, 8, 1)


DETERMINISTIC = """
import json, sys
import keras, numpy as np, tensorflow as tf
from kerascale.datasets.augmentation import Augmentation
keras.utils.set_random_seed(5)
tf.config.experimental.enable_op_determinism()
images = tf.constant(np.arange(40 * 64).reshape(40, 8, 8, 1) % 251, tf.uint8)
augment = Augmentation(
    shift=0.2, rotation=30.0, zoom=0.2, contrast=0.4, flip=True, crop=3, cutout=0.3
)
dataset = tf.data.Dataset.range(40).batch(16).map(
    lambda i: augment(tf.gather(images, i), i, 3, 7),
    num_parallel_calls=tf.data.AUTOTUNE,
)
print(json.dumps(np.concatenate(list(dataset.as_numpy_iterator())).tolist()))
"""


@pytest.mark.slow
def test_it_runs_under_op_determinism_with_the_same_result():
    # In a process of its own: determinism cannot be turned off again.
    done = subprocess.run(
        [sys.executable, "-c", DETERMINISTIC], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    images = tf.constant(np.arange(40 * 64).reshape(40, 8, 8, 1) % 251, tf.uint8)
    expected = STRONG(images, tf.range(40), 3, 7)
    np.testing.assert_array_equal(json.loads(done.stdout.splitlines()[-1]), expected)


# What is refused.


def test_every_bad_strength_is_named():
    with pytest.raises(
        RefusedError, match="Augmentation refused: 4 problems"
    ) as caught:
        Augmentation(shift=1.0, rotation=float("nan"), zoom=-0.1, contrast="much")
    text = str(caught.value)
    for received in ("shift=1.0", "rotation=nan", "zoom=-0.1", "contrast='much'"):
        assert f"Received: {received}." in text


def test_whole_pixels_and_yes_or_no():
    with pytest.raises(RefusedError, match="3 problems") as caught:
        Augmentation(flip=1, crop=-1, cutout=1.0)
    text = str(caught.value)
    assert "flip: expected True or False. Received: flip=1." in text
    assert "crop: expected a whole number of pixels, from 0. Received: crop=-1" in text
    assert "cutout is out of its range. Expected: a share of the side" in text
    with pytest.raises(RefusedError, match=r"crop=0\.5"):
        Augmentation(crop=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rotation", 180.1), ("contrast", 1), ("zoom", float("inf")), ("shift", True)],
)
def test_a_strength_out_of_range_is_refused(name, value):
    with pytest.raises(RefusedError, match=f"{name} is out of its range. Expected: a"):
        Augmentation(**{name: value})


def test_the_limits_themselves():
    assert Augmentation(shift=0, rotation=180, zoom=0.999, contrast=0.999).active


def test_it_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError, match="shift"):
        STRONG.shift = 0.5


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 1), np.float64)]
)
def test_other_shapes_and_types_are_refused(images):
    with pytest.raises(RefusedError, match=r"images.dtype=.*, images.shape="):
        STRONG(images, tf.range(2), 3, 7)
