"""Channels of pictures: gray, coloured, transparent; how one becomes another."""

from collections.abc import Collection

import numpy as np

# By number of channels.
NAMES = {
    1: "gray",
    2: "gray with transparency",
    3: "RGB",
    4: "RGB with transparency",
}


def common_channels(found: Collection[int]) -> int:
    """The number of channels that pictures of several kinds are converted to.

    Those of one kind stay as they are; gray with transparency becomes gray. Others
    become RGB if one of them has a colour, else gray.

    Args:
        found: The numbers of channels that occur.
    """
    kinds = set(found)
    if len(kinds) == 1 and kinds <= {1, 3, 4}:
        return next(iter(kinds))
    return 3 if kinds & {3, 4} else 1


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """A picture with other channels.

    Transparency is laid over white. Gray becomes RGB with three equal values; RGB
    becomes gray by the weights of ITU-R BT.601 (0.299, 0.587, 0.114), as in
    `tf.image.rgb_to_grayscale`. What had no transparency becomes opaque.

    Args:
        image: uint8 of shape (height, width, 1 to 4).
        channels: 1, 3 or 4.

    Returns:
        uint8 of shape (height, width, channels); the picture itself if it has them.
    """
    if image.shape[2] == channels:
        return image
    values = image
    if image.shape[2] in (2, 4):
        alpha = image[..., -1:].astype(np.float32) / 255
        over_white = image[..., :-1] * alpha + 255 * (1 - alpha)
        values = np.rint(over_white).astype(np.uint8)
    if values.shape[2] == 1 and channels > 1:
        values = np.repeat(values, 3, axis=2)
    elif values.shape[2] == 3 and channels == 1:
        weights = np.array([0.299, 0.587, 0.114], np.float32)
        values = np.rint(values @ weights).astype(np.uint8)[..., None]
    if channels == 4:
        opaque = np.full((*values.shape[:2], 1), 255, np.uint8)
        values = np.concatenate([values, opaque], axis=2)
    return values
