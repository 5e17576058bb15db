"""`images:FOLDER`: image files, in one folder for each class."""

import os
import pathlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_channels import NAMES, common_channels
from kerascale.datasets.sources.image_files import (
    Image,
    check_shapes,
    decode,
)
from kerascale.datasets.sources.image_splits import (
    refuse_other_classes,
    split_folders,
)
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.errors import RefusedError
from kerascale.runtime.free_memory import available_bytes

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
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
    _check_image_size(image_size)
    if not os.path.isdir(directory):
        kind = "is a file" if os.path.exists(directory) else "does not exist"
        raise RefusedError(
            "Expected a folder with one folder of images for each class. Received: "
            f"{directory!r}, which {kind}. Check the path."
        )
    names = _folder_names(directory)
    problems = Problems(f"{directory} cannot be used")
    folders = split_folders(directory, names, problems)
    problems.raise_if_any()
    folders = {"train": directory} if folders is None else folders
    class_names = _folder_names(folders["train"])
    found: dict[str, list[tuple[str, int]]] = {}
    ignored: list[str] = []
    for split, folder in folders.items():
        found[split], others = _labelled_files(folder, class_names, problems)
        ignored += others
    problems.raise_if_any()
    check_class_count(folders["train"], len(class_names))
    _say_ignored(directory, ignored)
    size = None if image_size is None else (image_size, image_size)
    # In one array, so that all have one form.
    images = _read_all(directory, [file for s in found.values() for file, _ in s], size)
    splits, first = {}, 0
    for split, files in found.items():
        labels = np.array([label for _, label in files], dtype=np.int64)
        paths = np.array([file for file, _ in files], dtype=object)
        splits[split] = Split(images[first : first + len(files)], labels, paths)
        first += len(files)
    return RawData(
        name=f"images:{directory}", kind="image", class_names=class_names, **splits
    )


def _labelled_files(
    folder: str, class_names: tuple[str, ...], problems: Problems
) -> tuple[list[tuple[str, int]], list[str]]:
    """The images of one split with their labels, and the files that are none."""
    names = _folder_names(folder)
    refuse_other_classes(folder, names, class_names, problems)
    files: list[tuple[str, int]] = []
    ignored: list[str] = []
    for index, class_name in enumerate(class_names):
        if class_name not in names:
            continue
        found, others = _walk(os.path.join(folder, class_name))
        if not found:
            problems.add(
                f"{os.path.join(folder, class_name)}: expected images of a class "
                f"({', '.join(EXTENSIONS)}). Received: none. Add some, or remove the "
                "folder."
            )
        files += [(file, index) for file in found]
        ignored += others
    return files, ignored + _files_beside_classes(folder)


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
        files, ignored = _walk(path)
        _say_ignored(path, ignored)
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
    return _read_all(path, files, shape[:2], shape[2]), files


def _check_image_size(image_size: int | None) -> None:
    if image_size is None:
        return
    if (
        isinstance(image_size, bool)
        or not isinstance(image_size, int)
        or image_size < 1
    ):
        raise RefusedError(
            "Expected image_size to be a positive number of pixels. Received: "
            f"image_size={image_size!r}."
        )


def _folder_names(directory: str) -> tuple[str, ...]:
    names = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise RefusedError(
            f"{directory}: expected one folder of images for each class. Received: no "
            "folder. Sort the images into folders that are named like their classes."
        )
    return tuple(names)


def _walk(directory: str) -> tuple[list[str], list[str]]:
    """Image files and other files below a folder, sorted by path."""
    files = []
    for parent, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(parent, n) for n in names if not n.startswith(".")]
    # By the parts of the path: "a/b" before "a-c", as a person lists folders.
    files.sort(key=lambda file: pathlib.PurePath(file).parts)
    images = [file for file in files if file.lower().endswith(EXTENSIONS)]
    return images, [file for file in files if not file.lower().endswith(EXTENSIONS)]


def _files_beside_classes(directory: str) -> list[str]:
    return sorted(
        entry.path
        for entry in os.scandir(directory)
        if not entry.is_dir() and not entry.name.startswith(".")
    )


def _say_ignored(directory: str, ignored: list[str]) -> None:
    if ignored:
        from kerascale.runtime.console import counted, say

        some = ", ".join(ignored[:3]) + (", ..." if len(ignored) > 3 else "")
        say(
            f"{directory}: {counted(len(ignored), 'file')} ignored ({some}); "
            f"{', '.join(EXTENSIONS)} are read"
        )


def _read_all(
    directory: str,
    files: list[str],
    size: tuple[int, int] | None,
    channels: int | None = None,
) -> np.ndarray:
    """All images as one array; the threads write into it, so that it is there once.

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

    with ThreadPoolExecutor() as pool:
        results += pool.map(read, range(first, len(files)))
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
        raise RefusedError(
            f"{directory}: expected images that fit in memory. Received: {num_images} "
            f"images of shape {shape}, which need {needed / 2**30:.1f} GiB of "
            f"{room / 2**30:.1f} GiB. Pass a smaller --image-size N, or fewer images."
        )
    return np.empty((num_images, *shape), dtype=np.uint8)


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
