"""Changes of images by whole pixels: mirrored, cropped, with a part cut out."""

import tensorflow as tf

from kerascale.datasets import stateless


def draws_of(
    indices: tf.Tensor, *, seed: int, epoch: tf.Tensor | int, draws: int, stream: str
) -> list[tf.Tensor]:
    """Random numbers from 0 to below 1 for each example, float64.

    Each change has a stream of its own, so that one leaves the others as they are.
    """
    numbers = stateless.uniform(
        indices, seed=seed, epoch=epoch, draws=draws, stream=f"augmentation/{stream}"
    )
    return tf.unstack(tf.cast(numbers, tf.float64), axis=1)


def flipped(images: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Half of the images, mirrored left to right.

    Args:
        images: Tensor of shape (examples, height, width, channels).
        draw: From 0 to below 1, of shape (examples,).
    """
    is_mirrored = (draw < 0.5)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.where(is_mirrored, tf.reverse(images, axis=[2]), images)


def crop_offset(draw: tf.Tensor, pixels: int) -> tf.Tensor:
    """Whole pixels from -pixels to pixels, each as likely, float64.

    To pad an image with so many zeros at every side and to cut out a window of its own
    size is to shift it by such a number along each axis.

    Args:
        draw: From 0 to below 1, of shape (examples,).
        pixels: The padding at each side.
    """
    return tf.floor(draw * (2 * pixels + 1)) - pixels


def cut_out(
    images: tf.Tensor, across: tf.Tensor, down: tf.Tensor, share: float
) -> tf.Tensor:
    """Sets a rectangle in each image to 0, as Cutout does (DeVries & Taylor, 2017).

    Its centre is anywhere in the image, so that a part of it may be outside.

    Args:
        images: Tensor of shape (examples, height, width, channels).
        across: Where its centre is, from 0 to below 1 of the width, (examples,).
        down: The same of the height.
        share: Its height and width as a share of the image's.
    """
    shape = tf.shape(images)
    rows = _is_near(shape[1], down, share)[:, :, tf.newaxis, tf.newaxis]
    columns = _is_near(shape[2], across, share)[:, tf.newaxis, :, tf.newaxis]
    return tf.where(tf.logical_and(rows, columns), tf.zeros_like(images), images)


def _is_near(size: tf.Tensor, centre: tf.Tensor, share: float) -> tf.Tensor:
    """Which pixels of a side are in a stretch about the centre: (examples, size)."""
    length = tf.cast(size, tf.float64)
    stretch = tf.maximum(tf.round(length * share), 1)
    first = tf.floor(centre * length) - tf.floor(stretch / 2)
    places = tf.cast(tf.range(size), tf.float64)[tf.newaxis]
    first = first[:, tf.newaxis]
    return tf.logical_and(places >= first, places < first + stretch)
