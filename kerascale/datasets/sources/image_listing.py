"""Folders of images: which files there are, of which class and split."""

import os
import pathlib
from collections.abc import Iterator

from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_splits import (
    refuse_other_classes,
    split_folders,
)
from kerascale.errors import RefusedError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


def find_splits(directory: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The folder of each split, and the names of the classes.

    Args:
        directory: A folder with one folder for each class, or with such folders for
            the splits.

    Returns:
        `train` and perhaps `validation`, `test` -> the path of its folder; the classes
        that the training examples have, sorted.

    Raises:
        RefusedError: If it is no such folder.
    """
    if not os.path.isdir(directory):
        kind = "is a file" if os.path.exists(directory) else "does not exist"
        raise RefusedError(
            "Expected a folder with one folder of images for each class. Received: "
            f"{directory!r}, which {kind}. Check the path."
        )
    names = folder_names(directory)
    problems = Problems(f"{directory} cannot be used")
    folders = split_folders(directory, names, problems)
    problems.raise_if_any()
    folders = {"train": directory} if folders is None else folders
    return folders, folder_names(folders["train"])


def labelled_files(
    folder: str, class_names: tuple[str, ...], problems: Problems
) -> Iterator[tuple[int, list[str], list[str]]]:
    """The images of one split, class by class.

    Args:
        folder: That of the split.
        class_names: The classes of the training examples.
        problems: Where to note what is wrong.

    Yields:
        The class, the paths of its images, sorted, and those of files that are none.
    """
    names = folder_names(folder)
    refuse_other_classes(folder, names, class_names, problems)
    beside = _files_beside_classes(folder)
    for index, class_name in enumerate(class_names):
        if class_name not in names:
            continue
        found, others = walk(os.path.join(folder, class_name))
        if not found:
            problems.add(
                f"{os.path.join(folder, class_name)}: expected images of a class "
                f"({', '.join(EXTENSIONS)}). Received: none. Add some, or remove the "
                "folder."
            )
        yield index, found, others
    yield len(class_names), [], beside


def check_image_size(image_size: int | None) -> None:
    """Refuses a size that no image can have."""
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


def folder_names(directory: str) -> tuple[str, ...]:
    """The folders in a folder, sorted, without hidden ones; refuses if none."""
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


def walk(directory: str) -> tuple[list[str], list[str]]:
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


def say_ignored(directory: str, ignored: list[str]) -> None:
    """Says which files of a folder are not read."""
    if ignored:
        from kerascale.runtime.console import counted, say

        some = ", ".join(ignored[:3]) + (", ..." if len(ignored) > 3 else "")
        say(
            f"{directory}: {counted(len(ignored), 'file')} ignored ({some}); "
            f"{', '.join(EXTENSIONS)} are read"
        )
