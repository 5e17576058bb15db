"""Packed data sets larger than what anybody wants to wait for: mostly holes.

A file of zeros that takes no room on the disk is read page by page as any other. What
kerascale looks at, labels and the rows of each split, is written.
"""

import json
import pathlib
import shutil
from typing import Any

import numpy as np

from ..workload import Workload

FORMAT = {"format": "kerascale-packed", "version": 1}
CLASSES = 10
# Rows of each of validation and test.
_HELD_OUT = 10_000
_PART = 2**22
# Two ids are kept for padding and unknown characters.
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,;:!?\n"
_FIRST_ID = 2
_TOKENS = 2**25


def vectors(folder: pathlib.Path, rows: int, width: int) -> pathlib.Path:
    """Rows of float32, all zero, with labels; packed, as far as training can tell.

    Args:
        folder: Where to; reused if it is there.
        rows: How many.
        width: Numbers of a row.
    """

    def write(path: pathlib.Path) -> None:
        _hole(path / "features.bin", 4 * rows * width)
        with open(path / "labels.bin", "wb") as file:
            for start in range(0, rows, _PART):
                numbers = np.arange(start, min(rows, start + _PART), dtype="<i8")
                file.write((numbers % CLASSES).tobytes())
        behind = {
            "train": rows - 2 * _HELD_OUT,
            "validation": rows - _HELD_OUT,
            "test": rows,
        }
        first = 0
        for split, end in behind.items():
            with open(path / f"{split}.index", "wb") as file:
                for start in range(first, end, _PART):
                    part = np.arange(start, min(end, start + _PART), dtype="<i8")
                    file.write(part.tobytes())
            first = end
        counts = {
            "train": rows - 2 * _HELD_OUT,
            "validation": _HELD_OUT,
            "test": _HELD_OUT,
        }
        _manifest(
            path,
            kind="vector",
            dtype="float32",
            shape=[width],
            num_rows=rows,
            class_names=[str(label) for label in range(CLASSES)],
            given_splits=list(counts),
            held_out_fraction=0.15,
            counts=counts,
            class_counts={
                split: [n // CLASSES] * CLASSES for split, n in counts.items()
            },
            mean=[0.0] * width,
            variance=[1.0] * width,
        )

    return _made(folder, write)


def tokens(folder: pathlib.Path, num_bytes: int) -> pathlib.Path:
    """A text of random characters, in two bytes each; the same piece again and again.

    Args:
        folder: Where to; reused if it is there.
        num_bytes: Of its tokens.
    """
    count = num_bytes // 2

    def write(path: pathlib.Path) -> None:
        random = np.random.default_rng(0)
        piece = random.integers(0, len(ALPHABET), _TOKENS, np.uint16) + _FIRST_ID
        piece = piece.astype("<u2").tobytes()
        with open(path / "features.bin", "wb") as file:
            for start in range(0, 2 * count, len(piece)):
                file.write(piece[: 2 * count - start])
        held_out = count // 20
        ranges = {
            "train": [0, count - 2 * held_out],
            "validation": [count - 2 * held_out, count - held_out],
            "test": [count - held_out, count],
        }
        _manifest(
            path,
            kind="corpus",
            dtype="uint16",
            shape=[],
            num_rows=count,
            class_names=[],
            given_splits=["train"],
            held_out_fraction=0.05,
            counts={split: end - start for split, (start, end) in ranges.items()},
            class_counts={},
            vocabulary=list(ALPHABET),
            ranges=ranges,
        )

    return _made(folder, write)


def text(path: pathlib.Path, num_bytes: int) -> pathlib.Path:
    """A text file of random characters; reused if it is there."""
    if not path.exists():
        random = np.random.default_rng(1)
        letters = np.frombuffer(ALPHABET.encode(), np.uint8)
        path.write_bytes(random.choice(letters, num_bytes).tobytes())
    return path


def npz(path: pathlib.Path, workload: Workload) -> pathlib.Path:
    """The data of a workload, all for training; reused if it is there."""
    if not path.exists():
        x, y = workload.data()
        few = {
            f"{a}_{s}": v[:512]
            for s in ("val", "test")
            for a, v in (("x", x), ("y", y))
        }
        np.savez(path, x_train=x, y_train=y, **few)
    return path


def _made(folder: pathlib.Path, write: Any) -> pathlib.Path:
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        write(unfinished)
        unfinished.rename(folder)
    return folder


def _hole(path: pathlib.Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def _manifest(folder: pathlib.Path, **fields: Any) -> None:
    given = {
        "source": "benchmark",
        "identity": {},
        "options": {},
        "encoding": None,
        "feature_names": [],
        "fingerprint": f"benchmark {fields['kind']} {fields['num_rows']}",
    }
    (folder / "packed.json").write_text(json.dumps(FORMAT | given | fields))
