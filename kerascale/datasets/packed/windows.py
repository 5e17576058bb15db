"""Random windows of encoded pictures, decoded at about the size that is needed."""

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from kerascale.datasets import resized_crop
from kerascale.datasets.packed import jpeg_header, jpeg_regions
from kerascale.datasets.packed.jpeg_header import JpegHeader
from kerascale.datasets.sources.image_channels import with_channels

# What libjpeg can divide the sides by while it decodes.
_DIVISORS = (1, 2, 4, 8)
# Pictures that a call of TensorFlow decodes beside each other: more take long to trace.
_AT_ONCE = 16
# Components of a JPEG, and the channels that libjpeg itself makes of them as everybody
# does.
_QUICK = {(3, 3), (1, 3), (1, 1)}

Shape = tuple[int, int, int]


def decoded(
    contents: Sequence[bytes], draws: np.ndarray, scale: float, shape: Shape
) -> np.ndarray:
    """Random windows of encoded pictures.

    Of a JPEG no more is decoded than the window, with sides that libjpeg divides by
    two, four or eight where the window stays as large as its image; and it is resized
    where it was decoded, without a call of Python for each.

    Args:
        contents: What is in the files.
        draws: float32 of shape (pictures, draws); see `resized_crop.draws`.
        scale: The smallest share of the area.
        shape: (height, width, channels) of each result.

    Returns:
        uint8 of shape (pictures, height, width, channels). What a picture gives does
        not depend on the others.

    Raises:
        Exception: Of many kinds, if one cannot be decoded.
    """
    headers = [_header(content) for content in contents]
    sizes = np.array([(h.height, h.width) for h in headers]).reshape(-1, 2)
    windows = resized_crop.windows(draws, sizes, scale)
    is_quick = np.array(
        [
            isinstance(header, JpegHeader)
            and (len(header.sampling), shape[2]) in _QUICK
            for header in headers
        ],
        bool,
    )
    if is_quick.all() and len(contents):
        return _quick(contents, headers, windows, sizes, shape)
    found = np.empty((len(contents), *shape), np.uint8)
    for place in np.flatnonzero(~is_quick):
        picture = headers[place]
        if isinstance(picture, JpegHeader):  # In CMYK, or of other channels.
            picture = PIL.Image.open(io.BytesIO(contents[place]))
        found[place] = _by_pillow(picture, windows[place], shape)
    quick = np.flatnonzero(is_quick)
    if len(quick):
        some = [contents[place] for place in quick]
        own = [headers[place] for place in quick]
        found[quick] = _quick(some, own, windows[quick], sizes[quick], shape)
    return found


def _header(content: bytes) -> JpegHeader | PIL.Image.Image:
    """What has the height and width of a picture."""
    header = jpeg_header.parse(content)
    return PIL.Image.open(io.BytesIO(content)) if header is None else header


def _quick(
    contents: Sequence[bytes],
    headers: Sequence[JpegHeader],
    windows: np.ndarray,
    sizes: np.ndarray,
    shape: Shape,
) -> np.ndarray:
    """Windows of JPEGs, by libjpeg; of those with restart markers a region is read."""
    numbers, whole = _whole_pixels(windows, sizes, shape)
    divisors = np.array(_DIVISORS)[numbers][:, None]
    begins = whole[:, :2] * divisors
    sides = np.minimum(whole[:, 2:] * divisors, sizes - begins)
    boxes = np.concatenate([begins, sides], axis=1).tolist()
    triples = zip(contents, headers, boxes, strict=True)
    regions = [jpeg_regions.cut(*triple) for triple in triples]
    corners = np.array([(region.top, region.left) for region in regions], np.int32)
    # Corners are those of blocks, which each divisor divides.
    whole[:, :2] -= corners // divisors
    pictures = np.array([region.content for region in regions], object)
    found = np.empty((len(regions), *shape), np.uint8)
    with tf.device("CPU:0"):
        for first in range(0, len(regions), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            decode = _decoder(len(pictures[some]), shape)
            found[some] = decode(pictures[some], whole[some], numbers[some])
    return found


def _whole_pixels(
    windows: np.ndarray, sizes: np.ndarray, shape: Shape
) -> tuple[np.ndarray, np.ndarray]:
    """Of each window which divisor it is decoded with, and where it is then."""
    least = np.array(shape[:2])[:, None] * _DIVISORS
    fits = (windows[:, 2:, None] >= least).all(axis=1)
    numbers = np.maximum(fits.sum(axis=1) - 1, 0)
    divisor = np.array(_DIVISORS)[numbers][:, None]
    limits = -(-sizes // divisor)
    first = np.floor(windows[:, :2] / divisor).astype(int)
    sides = np.maximum(1, np.round(windows[:, 2:] / divisor).astype(int))
    first = np.minimum(first, limits - 1)
    sides = np.minimum(sides, limits - first)
    whole = np.concatenate([first, sides], axis=1).astype(np.int32)
    return numbers.astype(np.int32), whole


@functools.lru_cache(maxsize=64)
def _decoder(count: int, shape: Shape) -> Callable[..., tf.Tensor]:
    """A graph that decodes so many JPEGs."""
    signature = [
        tf.TensorSpec([count], tf.string),
        tf.TensorSpec([count, 4], tf.int32),
        tf.TensorSpec([count], tf.int32),
    ]

    def decode(
        contents: tf.Tensor, windows: tf.Tensor, divisors: tf.Tensor
    ) -> tf.Tensor:
        rows = zip(
            *(tf.unstack(t, count) for t in (contents, windows, divisors)), strict=True
        )
        return tf.stack([_by_libjpeg(*row, shape) for row in rows])

    return tf.function(decode, signature, autograph=False).get_concrete_function()


def _by_libjpeg(
    content: tf.Tensor, window: tf.Tensor, divisor: tf.Tensor, shape: Shape
) -> tf.Tensor:
    def divided(ratio: int) -> tf.Tensor:
        pixels = tf.raw_ops.DecodeAndCropJpeg(
            contents=content,
            crop_window=window,
            channels=shape[2],
            ratio=ratio,
            fancy_upscaling=False,
            dct_method="INTEGER_FAST",
        )
        resized = tf.raw_ops.ResizeBilinear(
            images=pixels[None], size=shape[:2], half_pixel_centers=True
        )
        return tf.cast(tf.round(resized[0]), tf.uint8)

    branches = [functools.partial(divided, ratio) for ratio in _DIVISORS]
    return tf.ensure_shape(tf.switch_case(divisor, branches), shape)


def _by_pillow(
    picture: PIL.Image.Image, window: np.ndarray, shape: Shape
) -> np.ndarray:
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        has_alpha = "transparency" in picture.info
        picture = picture.convert("RGBA" if has_alpha else "RGB")
    found = np.asarray(picture)
    pixels = with_channels(found[..., None] if found.ndim == 2 else found, shape[2])
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    top, left, height, width = window
    box: Any = (left, top, left + width, top + height)
    made = PIL.Image.fromarray(flat).resize(
        (shape[1], shape[0]), PIL.Image.Resampling.BILINEAR, box=box
    )
    return np.asarray(made).reshape(shape)
