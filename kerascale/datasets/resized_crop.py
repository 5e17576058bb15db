"""Random windows of images, resized to one size: "random resized crop".

As torchvision's `RandomResizedCrop` and the Inception papers have it: a window of a
random share of the area, of a random ratio of its sides, at a random place. Ten are
drawn, and the first one that fits is taken; where none does, the largest one in the
middle whose ratio is in the range.
"""

import io
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from kerascale.datasets import stateless
from kerascale.datasets.sources.image_channels import with_channels

RATIOS = (3 / 4, 4 / 3)
_TRIES = 10
# For each try the area and the ratio; then the place.
_DRAWS = 2 * _TRIES + 2
_JPEG = b"\xff\xd8\xff"
# What libjpeg can divide the sides by while it decodes.
_DIVISORS = (8, 4, 2, 1)


def draws(indices: tf.Tensor, epoch: tf.Tensor, seed: int) -> tf.Tensor:
    """What decides the window of each example.

    Args:
        indices: Places in the data set, of shape (examples,).
        epoch: int64 scalar.
        seed: An integer from 0 to 2**63 - 1.

    Returns:
        float32 of shape (examples, draws), from 0 to below 1.
    """
    stream = "augmentation/resized_crop"
    return stateless.uniform(
        indices, seed=seed, epoch=epoch, draws=_DRAWS, stream=stream
    )


def windows(draws: np.ndarray, sizes: np.ndarray, scale: float) -> np.ndarray:
    """The windows that were drawn.

    Args:
        draws: See `draws`.
        sizes: Height and width of each image; of shape (examples, 2).
        scale: The smallest share of the area.

    Returns:
        float64 of shape (examples, 4): top, left, height and width in pixels, which
        need not be whole.
    """
    drawn = draws.astype(np.float64)
    height, width = sizes.astype(np.float64)[:, :, None].transpose(1, 0, 2)
    areas = height * width * (scale + drawn[:, 0 : 2 * _TRIES : 2] * (1 - scale))
    low, high = np.log(RATIOS)
    ratios = np.exp(low + drawn[:, 1 : 2 * _TRIES : 2] * (high - low))
    heights, widths = np.sqrt(areas / ratios), np.sqrt(areas * ratios)
    fits = (heights <= height) & (widths <= width)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(drawn))
    is_there = fits[rows, first]
    height, width = height[:, 0], width[:, 0]
    most = np.minimum(width, height * RATIOS[1]), np.minimum(height, width / RATIOS[0])
    h = np.where(is_there, heights[rows, first], most[1])
    w = np.where(is_there, widths[rows, first], most[0])
    down, right = drawn[:, -2], drawn[:, -1]
    top = np.where(is_there, down, 0.5) * (height - h)
    left = np.where(is_there, right, 0.5) * (width - w)
    return np.stack([top, left, h, w], axis=1)


def decoded(
    content: bytes, draws: np.ndarray, scale: float, shape: tuple[int, int, int]
) -> np.ndarray:
    """A random window of an encoded picture, decoded at about the size that is needed.

    Of a JPEG no more is decoded than the window, with sides that libjpeg divides by
    two, four or eight where the window stays as large as its image.

    Args:
        content: What is in the file.
        draws: Of this picture, of shape (draws,).
        scale: The smallest share of the area.
        shape: (height, width, channels) of the result.

    Returns:
        uint8 of that shape.

    Raises:
        Exception: Of many kinds, if it cannot be decoded.
    """
    with PIL.Image.open(io.BytesIO(content)) as header:
        size = np.array([[header.height, header.width]])
        top, left, height, width = windows(draws[None], size, scale)[0]
        if not content.startswith(_JPEG):
            pixels = _pixels(header)
            box = (left, top, left + width, top + height)
            return _resized(with_channels(pixels, shape[2]), box, shape)
    divisor = next(
        d
        for d in _DIVISORS
        if d == 1 or (height >= d * shape[0] and width >= d * shape[1])
    )
    limits = -(-size[0] // divisor)
    first = np.floor(np.array([top, left]) / divisor).astype(int)
    sides = np.maximum(1, np.round(np.array([height, width]) / divisor).astype(int))
    first = np.minimum(first, limits - 1)
    sides = np.minimum(sides, limits - first)
    with tf.device("CPU:0"):
        pixels = tf.raw_ops.DecodeAndCropJpeg(
            contents=content,
            crop_window=np.concatenate([first, sides]).astype(np.int32),
            channels=0,
            ratio=divisor,
            fancy_upscaling=False,
            dct_method="INTEGER_FAST",
        ).numpy()
    return _resized(with_channels(pixels, shape[2]), None, shape)


def _pixels(picture: PIL.Image.Image) -> np.ndarray:
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        has_alpha = "transparency" in picture.info
        picture = picture.convert("RGBA" if has_alpha else "RGB")
    found = np.asarray(picture)
    return found[..., None] if found.ndim == 2 else found


def _resized(pixels: np.ndarray, box: Any, shape: tuple[int, int, int]) -> np.ndarray:
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    # Of 8 bits Pillow computes in integers: the same on each processor.
    made = PIL.Image.fromarray(flat).resize(
        (shape[1], shape[0]), PIL.Image.Resampling.BILINEAR, box=box
    )
    return np.asarray(made).reshape(shape)


def of_images(images: tf.Tensor, draws: tf.Tensor, scale: float) -> tf.Tensor:
    """Random windows of images of one size, resized to that size.

    Args:
        images: float32 of shape (examples, height, width, channels).
        draws: See `draws`.
        scale: The smallest share of the area.

    Returns:
        float32 of the same shape: bilinear.
    """
    height, width = (tf.cast(s, tf.float64) for s in tf.unstack(tf.shape(images)[1:3]))
    drawn = tf.cast(draws, tf.float64)
    areas = height * width * (scale + drawn[:, 0 : 2 * _TRIES : 2] * (1 - scale))
    low, high = np.log(RATIOS)
    ratios = tf.exp(low + drawn[:, 1 : 2 * _TRIES : 2] * (high - low))
    heights, widths = tf.sqrt(areas / ratios), tf.sqrt(areas * ratios)
    fits = (heights <= height) & (widths <= width)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=1)
    is_there = tf.reduce_any(fits, axis=1)
    h = tf.gather(heights, first, batch_dims=1)
    w = tf.gather(widths, first, batch_dims=1)
    h = tf.where(is_there, h, tf.minimum(height, width / RATIOS[0]))
    w = tf.where(is_there, w, tf.minimum(width, height * RATIOS[1]))
    half = tf.constant(0.5, tf.float64)
    top = tf.where(is_there, drawn[:, -2], half) * (height - h)
    left = tf.where(is_there, drawn[:, -1], half) * (width - w)
    # Corners of the window as `CropAndResize` has them: centres of pixels.
    down, right = tf.maximum(height - 1, 1), tf.maximum(width - 1, 1)
    boxes = [top / down, left / right, (top + h - 1) / down, (left + w - 1) / right]
    return tf.image.crop_and_resize(
        images,
        tf.cast(tf.stack(boxes, axis=1), tf.float32),
        tf.range(tf.shape(images)[0]),
        tf.shape(images)[1:3],
    )
