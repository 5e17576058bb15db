"""Folders of images that are called like splits: `train`, `val`, `test`."""

import os
from collections.abc import Sequence

from kerascale.datasets.sources.checks import Problems, listing

# What a folder may be called, in small letters.
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}


def split_folders(
    directory: str, names: Sequence[str], problems: Problems
) -> dict[str, str] | None:
    """Which folder has which split; None: the folders are classes.

    They are splits if all of them are called so, in capital or small letters, and one
    of them is for training.

    Args:
        directory: The folder that they are in.
        names: What is in it.
        problems: Where to note what is wrong.

    Returns:
        `train`, `validation`, `test` -> the path of its folder.
    """
    if not {name.lower() for name in names} <= set(_SPLITS):
        return None
    found: dict[str, str] = {}
    for name in names:
        split, path = _SPLITS[name.lower()], os.path.join(directory, name)
        if split in found:
            problems.add(
                f"{directory}: expected one folder of {split} examples. Received: "
                f"{os.path.basename(found[split])!r} and {name!r}. Move the images "
                "into one of them."
            )
        found[split] = path
    if "train" not in found:
        problems.add(
            f"{directory}: expected one folder for each class, or folders of splits, "
            f"one of which is called train. Received: {listing(names)}, which look "
            "like splits without it. Add it, or rename the folders."
        )
    return found


def refuse_other_classes(
    path: str, names: Sequence[str], class_names: Sequence[str], problems: Problems
) -> None:
    """Notes folders of a split that are no class of the training examples."""
    others = [name for name in names if name not in class_names]
    if others:
        problems.add(
            f"{path}: expected folders of the classes {listing(class_names)}, as in "
            f"the training examples. Received: {listing(others)}. Add training "
            "examples of them, or remove the folders."
        )
