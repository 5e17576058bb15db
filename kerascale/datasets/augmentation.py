"""Random changes of images, drawn per example: moved, mirrored, cropped, recoloured."""

import dataclasses
import numbers

import tensorflow as tf

from kerascale.datasets import image_changes, resized_crop, stateless
from kerascale.errors import RefusedError

# What a strength must stay below, and whether it may reach it.
_LIMITS = {
    "shift": (1.0, False, "share of the side"),
    "rotation": (180.0, True, "degrees"),
    "zoom": (1.0, False, "share of the size"),
    "contrast": (1.0, False, "share of the contrast"),
    "cutout": (1.0, False, "share of the side"),
    "resized_crop": (1.0, True, "share of the area"),
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Moves and recolours each image by what (seed, epoch, example) draws.

    The same example in the same epoch is changed in the same way whatever batch,
    replica, worker or resumed run it is in, to the last bit. In another epoch it
    is changed in another way. Each strength has a draw of its own: to change one
    leaves the others as they were.

    A random window comes first, then images are mirrored. The geometry is one bilinear
    resampling about the centre of the image; a crop alone moves whole pixels. Then the
    contrast changes about the mean of the whole image, all channels alike, and a
    rectangle is cut out.
    What comes in from outside is 0, the background of written digits. At the end
    values are clipped to the range of the image itself, so digits of 0..16 stay
    within 0..16 (and the outside of an image without zeros is its darkest value).

    Args:
        shift: Greatest shift along either axis, as a share of that side.
            From 0 to below 1.
        rotation: Greatest rotation either way, in degrees. From 0 to 180.
        zoom: Scales are from 1 - zoom to 1 + zoom. From 0 to below 1.
        contrast: Contrast factors are from 1 - contrast to 1 + contrast.
            From 0 to below 1.
        flip: Whether half of the images are mirrored left to right.
        crop: Pixels of 0 that are put around an image, out of which a window of its
            own size is cut.
        cutout: Side of a rectangle that is set to 0, as a share of the image's. From
            0 to below 1.
        resized_crop: Smallest share of the area of a random window, which is resized to
            the size of the image; see `resized_crop`. From 0, which is none, to 1.

    Raises:
        RefusedError: If a strength is out of its range, with all that are.

    Example:

    ```python
    augment = Augmentation(shift=0.1, rotation=10.0)
    images = augment(images, indices, epoch=3, seed=7)
    ```
    """

    shift: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    contrast: float = 0.0
    flip: bool = False
    crop: int = 0
    cutout: float = 0.0
    resized_crop: float = 0.0

    def __post_init__(self) -> None:
        problems = [
            f"{name} is out of its range. Expected: a {unit} from 0 to "
            f"{'' if reached else 'below '}{limit:g}. Received: "
            f"{name}={getattr(self, name)!r}."
            for name, (limit, reached, unit) in _LIMITS.items()
            if not _within(getattr(self, name), limit, reached)
        ]
        if not isinstance(self.flip, bool):
            problems.append(
                f"flip: expected True or False. Received: flip={self.flip!r}."
            )
        if isinstance(self.crop, bool) or not (
            isinstance(self.crop, int) and self.crop >= 0
        ):
            problems.append(
                "crop: expected a whole number of pixels, from 0. Received: "
                f"crop={self.crop!r}."
            )
        if problems:
            raise RefusedError(problems, heading="Augmentation refused")

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        strengths = (self.contrast, self.cutout, self.resized_crop)
        return self._moves or self.flip or max(strengths) > 0

    @property
    def _moves(self) -> bool:
        return self.shift > 0 or self.rotation > 0 or self.zoom > 0 or self.crop > 0

    def __call__(
        self,
        images: tf.Tensor,
        indices: tf.Tensor,
        epoch: tf.Tensor | int,
        seed: int,
    ) -> tf.Tensor:
        """Changes a batch of images.

        Args:
            images: uint8 or float32 tensor of shape
                (examples, height, width, channels).
            indices: Integer tensor of shape (examples,): the place of each
                example in the data set.
            epoch: An integer, or an integer tensor of shape ().
            seed: An integer from 0 to 2**63 - 1.

        Returns:
            Tensor of the same shape and type. The images themselves, bit for
            bit, if nothing is active.

        Raises:
            RefusedError: If `images` has another type or number of axes.
        """
        images = tf.convert_to_tensor(images)
        _check_images(images)
        if not self.active:
            return images
        draws = stateless.uniform(
            indices, seed=seed, epoch=epoch, draws=5, stream="augmentation"
        )
        # float64 up to the last rounding: TensorFlow's graph optimiser reorders
        # products with constants, which in float32 would show.
        signed = tf.cast(draws, tf.float64) * 2 - 1
        right, down, rotation, scale, contrast = tf.unstack(signed, axis=1)
        given = tf.cast(images, tf.float32)
        changed = given

        def drawn(stream: str, draws: int) -> list[tf.Tensor]:
            return image_changes.draws_of(
                indices, seed=seed, epoch=epoch, draws=draws, stream=stream
            )

        if self.resized_crop:
            windows = resized_crop.draws(indices, epoch, seed)
            changed = resized_crop.of_images(changed, windows, self.resized_crop)
        if self.flip:
            changed = image_changes.flipped(changed, *drawn("flip", 1))
        if self._moves:
            crop_right = crop_down = 0.0
            if self.crop:
                crop_right, crop_down = (
                    image_changes.crop_offset(draw, self.crop)
                    for draw in drawn("crop", 2)
                )
            height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float64))
            changed = move(
                changed,
                right=right * self.shift * width + crop_right,
                down=down * self.shift * height + crop_down,
                rotation=rotation * self.rotation,
                scale=1 + scale * self.zoom,
            )
        if self.contrast > 0:
            changed = change_contrast(changed, 1 + contrast * self.contrast)
        if self.cutout > 0:
            across, below = drawn("cutout", 2)
            changed = image_changes.cut_out(changed, across, below, self.cutout)
        pixels = (1, 2, 3)
        lowest = tf.reduce_min(given, pixels, keepdims=True)
        highest = tf.reduce_max(given, pixels, keepdims=True)
        changed = tf.clip_by_value(changed, lowest, highest)
        if images.dtype.is_integer:
            changed = tf.round(changed)
        changed = tf.cast(changed, images.dtype)
        return tf.ensure_shape(changed, images.shape)


def move(
    images: tf.Tensor,
    *,
    right: tf.Tensor,
    down: tf.Tensor,
    rotation: tf.Tensor,
    scale: tf.Tensor,
) -> tf.Tensor:
    """Scales and rotates images about their centre, then shifts them.

    Args:
        images: float32 tensor of shape (examples, height, width, channels).
        right: Pixels to the right, floating tensor of shape (examples,).
        down: Pixels down, shape (examples,).
        rotation: Degrees counter-clockwise, as in `np.rot90`, shape (examples,).
        scale: Above 1 makes what is shown larger, shape (examples,).

    Returns:
        float32 tensor of the same shape: bilinear, and 0 outside the image.
    """
    size = tf.shape(images)[1:3]
    transforms = inverse_transforms(
        right=right,
        down=down,
        rotation=rotation,
        scale=scale,
        height=size[0],
        width=size[1],
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=size,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def inverse_transforms(
    *,
    right: tf.Tensor,
    down: tf.Tensor,
    rotation: tf.Tensor,
    scale: tf.Tensor,
    height: tf.Tensor | int,
    width: tf.Tensor | int,
) -> tf.Tensor:
    """What `ImageProjectiveTransformV3` wants to move images as `move` says.

    For a pixel (x, y) of the result, row [a0, a1, a2, b0, b1, b2, 0, 0] says where
    it comes from: (a0 x + a1 y + a2, b0 x + b1 y + b2).

    Args:
        right: See `move`, as for the next three.
        down: Pixels.
        rotation: Degrees.
        scale: Factor.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        float32 tensor of shape (examples, 8).
    """
    # In float32 TensorFlow's sine of an angle differs in its last bit with the
    # place in the batch (vectorised part or rest); in float64 it does not.
    right, down, rotation, scale, height, width = (
        tf.cast(value, tf.float64)
        for value in (right, down, rotation, scale, height, width)
    )
    radians = rotation * (3.141592653589793 / 180)
    cosine, sine = tf.cos(radians) / scale, tf.sin(radians) / scale
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    from_x, from_y = centre_x + right, centre_y + down
    nothing = tf.zeros_like(cosine)
    rows = [
        cosine,
        -sine,
        centre_x - cosine * from_x + sine * from_y,
        sine,
        cosine,
        centre_y - sine * from_x - cosine * from_y,
        nothing,
        nothing,
    ]
    return tf.cast(tf.stack(rows, axis=1), tf.float32)


def change_contrast(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiplies the distance of each value from the mean of its own image.

    Args:
        images: float32 tensor of shape (examples, height, width, channels).
        factors: Floating tensor of shape (examples,).

    Returns:
        float32 tensor of the same shape.
    """
    pixels = (1, 2, 3)
    lowest = tf.reduce_min(images, pixels, keepdims=True)
    span = tf.reduce_max(images, pixels, keepdims=True) - lowest
    # A float sum depends on the order of adding, which the batch and the number
    # of threads decide; a sum of integers does not.
    levels = tf.round(tf.math.divide_no_nan(images - lowest, span) * 2.0**20)
    total = tf.reduce_sum(tf.cast(levels, tf.int64), pixels, keepdims=True)
    size = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float64)
    mean_level = tf.cast(tf.cast(total, tf.float64) / size, tf.float32)
    mean = lowest + span * (mean_level * 2.0**-20)
    factors = tf.cast(factors, tf.float32)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return mean + (images - mean) * factors


def _within(value: object, limit: float, reached: bool) -> bool:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    return 0 <= value < limit or (reached and value == limit)


def _check_images(images: tf.Tensor) -> None:
    if images.dtype not in (tf.uint8, tf.float32) or images.shape.rank != 4:
        raise RefusedError(
            "These are no images to augment. Expected: uint8 or float32 of shape "
            "(examples, height, width, channels). Received: "
            f"images.dtype={images.dtype.name}, images.shape={images.shape}."
        )
