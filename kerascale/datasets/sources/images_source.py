"""`images:FOLDER`: image files, in one folder for each class."""

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from kerascale.datasets import regions
from kerascale.datasets.packed.sources import ahead
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_channels import NAMES, common_channels
from kerascale.datasets.sources.image_files import (
    Image,
    check_shapes,
    decode,
)
from kerascale.datasets.sources.image_listing import (
    EXTENSIONS,
    check_image_size,
    find_splits,
    labelled_files,
    say_ignored,
    walk,
)
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.errors import RefusedError, TooLargeError
from kerascale.runtime.free_memory import available_bytes

# Training needs room for more than the images.
_SHARE_OF_MEMORY = 0.7


def load_images(
    directory: str | os.PathLike[str], image_size: int | None = None
) -> RawData:
    """Loads a folder that has one folder of images for each class.

    The classes are the folders' names, sorted. If there are folders called `train` and
    `val` or `test` (or like them), the classes are in there. Folders inside a class
    belong to it. Hidden files are ignored; other files that are no images are counted
    and said. The order is that of the sorted paths.

    Args:
        directory: The folder.
        image_size: Height and width in pixels to resize every image to, without
            regard to its proportions. None: the images have one size already.

    Returns:
        Data of kind `image`, uint8 (examples, height, width, channels). A GIF gives
        its first frame. Pictures of several kinds are converted to one: see
        `kerascale.datasets.sources.image_channels`.

    Raises:
        RefusedError: With every file that is damaged or differs from the others.

    Example:

    >>> data = load_images("flowers", image_size=96)
    """
    directory = os.fspath(directory)
    check_image_size(image_size)
    folders, class_names = find_splits(directory)
    problems = Problems(f"{directory} cannot be used")
    found: dict[str, list[tuple[str, int]]] = {}
    ignored: list[str] = []
    for split, folder in folders.items():
        found[split] = []
        for label, files, others in labelled_files(folder, class_names, problems):
            found[split] += [(file, label) for file in files]
            ignored += others
    problems.raise_if_any()
    check_class_count(folders["train"], len(class_names))
    say_ignored(directory, ignored)
    size = None if image_size is None else (image_size, image_size)
    # In one array, so that all have one form.
    images = read_files(
        directory, [file for s in found.values() for file, _ in s], size
    )
    own = [images]
    if len(found) > 1:
        counts = [len(files) for files in found.values()]
        part_of = np.repeat(np.arange(len(counts), dtype=np.uint8), counts)
        own = regions.taken_apart(images, part_of, len(counts))
    splits = {}
    for pixels, (split, files) in zip(own, found.items(), strict=True):
        labels = np.array([label for _, label in files], dtype=np.int64)
        paths = np.array([file for file, _ in files], dtype=object)
        splits[split] = Split(pixels, labels, paths)
    return RawData(
        name=f"images:{directory}", kind="image", class_names=class_names, **splits
    )


def read_images(
    path: str | os.PathLike[str], shape: Sequence[int]
) -> tuple[np.ndarray, list[str]]:
    """Reads images to predict, in the form that a model was trained on.

    Args:
        path: An image, or a folder of images, in folders of any depth.
        shape: (height, width, channels) of the training. Images of another size are
            resized, and others converted to its channels, which is said.

    Returns:
        uint8 (images, height, width, channels), and the files' paths, sorted.

    Raises:
        RefusedError: With every file that is damaged.
    """
    path = os.fspath(path)
    shape = tuple(shape)
    if os.path.isdir(path):
        files, ignored = walk(path)
        say_ignored(path, ignored)
    elif os.path.exists(path):
        files = [path]
    else:
        raise RefusedError(
            "Expected an image or a folder of images. Received: "
            f"{path!r}, which does not exist. Check the path."
        )
    if not files:
        raise RefusedError(
            f"Expected images ({', '.join(EXTENSIONS)}). Received: {path!r}, a folder "
            "without any."
        )
    return read_files(path, files, shape[:2], shape[2]), files


def read_files(
    directory: str,
    files: list[str],
    size: tuple[int, int] | None,
    channels: int | None = None,
) -> np.ndarray:
    """Images as one array; the threads write into it, so that it is there once.

    Args:
        directory: What the user calls them.
        files: The images.
        size: (height, width) to resize to; None: they have one size.
        channels: Those of the training; None: as the images have.
    """
    images, results = _decode_all(directory, files, size, channels)
    problems = Problems(f"{directory} cannot be used")
    for result in results:
        if result.fault:
            problems.add(result.fault)
    shapes = {f: r.shape for f, r in zip(files, results, strict=True) if not r.fault}
    found = Counter(shape[2] for shape in shapes.values())
    wanted = channels or common_channels(found or {3})
    as_wanted = {file: (*shape[:2], wanted) for file, shape in shapes.items()}
    check_shapes(as_wanted, size is not None, wanted, problems)
    problems.raise_if_any()
    if channels is None and set(found) != {wanted}:
        images = None  # Two of them might not fit.
        images, _ = _decode_all(directory, files, size, wanted)
    _say_converted(directory, found, wanted)
    if size is not None and channels is not None:
        _say_resized(directory, shapes, size)
    return images


def _decode_all(
    directory: str,
    files: list[str],
    size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[np.ndarray | None, list[Image]]:
    """All images that have the form of the first one; and what was found of each."""
    images: np.ndarray | None = None
    first = 0
    results: list[Image] = []
    # The first image that can be read gives the shape of the array.
    while images is None and first < len(files):
        result = decode(files[first], size, channels)
        results.append(result)
        if result.pixels is not None:
            images = _allocate(directory, len(files), result.pixels.shape)
            images[first] = result.pixels
        first += 1

    def read(index: int) -> Image:
        result = decode(files[index], size, channels)
        if result.pixels is not None and result.pixels.shape == images.shape[1:]:
            images[index] = result.pixels
        return result._replace(pixels=None)

    # A few at a time: what waits for its turn takes more than a small picture.
    row_bytes = 0 if images is None else images[0].nbytes
    rest = ((row_bytes, index) for index in range(first, len(files)))
    results += ahead.in_order(read, rest)
    return images, results


def _say_converted(directory: str, found: Counter, channels: int) -> None:
    others = {kind: count for kind, count in found.items() if kind != channels}
    if others:
        from kerascale.runtime.console import counted, say

        kinds = ", ".join(f"{n:,} {NAMES[kind]}" for kind, n in sorted(others.items()))
        say(
            f"{directory}: of {counted(found.total(), 'image')} converted to "
            f"{NAMES[channels]}: {kinds}"
        )


def _allocate(directory: str, num_images: int, shape: tuple[int, ...]) -> np.ndarray:
    needed, room = num_images * int(np.prod(shape)), available_bytes()
    if needed > room * _SHARE_OF_MEMORY:
        raise TooLargeError(
            f"{directory}: expected images that fit in memory. Received: {num_images} "
            f"images of shape {shape}, which need {needed / 2**30:.1f} GiB of "
            f"{room / 2**30:.1f} GiB. Pass a smaller --image-size N, or fewer images."
        )
    return regions.empty((num_images, *shape), np.uint8)


def _say_resized(
    directory: str, shapes: dict[str, tuple[int, int, int]], size: tuple[int, int]
) -> None:
    num_resized = sum(shape[:2] != size for shape in shapes.values())
    if num_resized:
        from kerascale.runtime.console import counted, say

        say(
            f"{directory}: {num_resized:,} of {counted(len(shapes), 'image')} resized "
            f"to {size}, as in training"
        )
