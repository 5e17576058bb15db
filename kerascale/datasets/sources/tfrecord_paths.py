"""Which files a TFRecord data set has, and which split each of them is."""

import glob
import os
import re
from collections.abc import Sequence

from kerascale.datasets.sources.checks import Problems, check_file, listing
from kerascale.datasets.sources.tfrecord_schema import SCHEMA
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted, say

_NAME = re.compile(r"\.(tfrecords?|tfrec)(-\d+-of-\d+)?(\.gz|\.zlib)?$", re.IGNORECASE)
_SHARD = re.compile(r"-(\d+)-of-(\d+)(?=\D|$)")
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


def find(path: str) -> dict[str, list[str]]:
    """The files of each split, sorted by name.

    Args:
        path: A file, a folder, or a pattern.

    Raises:
        RefusedError: If there is none, one of several is missing, or it is not clear
            which split a file is.
    """
    if os.path.isdir(path):
        names = sorted(n for n in os.listdir(path) if not n.startswith("."))
        found = [os.path.join(path, name) for name in names if _NAME.search(name)]
        ignored = [n for n in names if not _NAME.search(n) and n != SCHEMA]
        if ignored:
            say(f"{path}: ignored {listing(ignored)}")
    elif os.path.exists(path) or not glob.has_magic(path):
        check_file(path, "a TFRecord file")
        found = [path]
    else:
        found = sorted(filter(os.path.isfile, glob.glob(path, recursive=True)))
        found = [file for file in found if os.path.basename(file) != SCHEMA]
    if not found:
        raise RefusedError(
            "Expected TFRecord files (.tfrecord, .tfrecords or .tfrec, perhaps with "
            f".gz or .zlib behind). Received: {path!r}, where there is none. Check the "
            "path, or name the files by a pattern, such as data/*."
        )
    splits: dict[str | None, list[str]] = {}
    for file in found:
        splits.setdefault(_split_of(file), []).append(file)
    problems = Problems(f"{path} cannot be used")
    if None in splits and len(splits) > 1:
        for file in splits[None]:
            problems.add(
                f"{file}: expected a name that begins with train, validation or test, "
                "as others here. Received: none of them. Rename it."
            )
    elif "train" not in splits and None not in splits:
        problems.add(
            f"{path}: expected training examples. Received: files of "
            f"{' and '.join(sorted(splits))} only. Add some, or rename the files."
        )
    _refuse_missing_shards(found, problems)
    problems.raise_if_any()
    return {split or "train": files for split, files in splits.items()}


def _split_of(file: str) -> str | None:
    words = re.split(r"[^a-z]+", os.path.basename(file).lower())
    found = {_SPLITS[word] for word in words if word in _SPLITS}
    if len(found) > 1:
        raise RefusedError(
            f"{file}: expected one of train, validation and test in its name. "
            f"Received: {' and '.join(sorted(found))}. Rename it."
        )
    return found.pop() if found else None


def _refuse_missing_shards(files: Sequence[str], problems: Problems) -> None:
    shards: dict[tuple[str, int], set[int]] = {}
    for file in files:
        match = _SHARD.search(os.path.basename(file))
        if match:
            whole = file.replace(match[0], f"-*-of-{match[2]}")
            shards.setdefault((whole, int(match[2])), set()).add(int(match[1]))
    for (name, count), numbers in shards.items():
        missing = sorted(set(range(count)) - numbers)
        if missing:
            problems.add(
                f"{name}: expected {counted(count, 'file')}, as their names say. "
                f"Received: none with the numbers {listing(missing)}. Copy them, too."
            )
