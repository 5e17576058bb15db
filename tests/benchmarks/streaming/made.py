"""Pictures for the benchmark: something like photographs, of about 100 KB each.

A few hundred are drawn: noise of several octaves, in which the channels follow each
other, as light does. Each file is a window of its own of one of these, half of them
mirrored, encoded anew: no two files are alike, and none is a copy of another's bytes.
"""

import functools
import io
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image

WIDTH, HEIGHT, CLASSES = 500, 375, 10
# Gives 100 KB on average.
QUALITY, _PERSISTENCE = 95, 0.75
_OCTAVES = range(2, 10)
# Around the window that a file is.
_MARGIN = 64
NUM_DRAWN = 200
_DONE = "pictures.json"
_SAY_EVERY = 5000


def pictures(folder: pathlib.Path, count: int, say: Callable[[str], None]) -> int:
    """Makes the files `CLASS/NUMBER.jpg`, if they are not there.

    Args:
        folder: Where to; what is in it of another count is refused.
        count: How many.
        say: Called with a line for people.

    Returns:
        Bytes of all.

    Raises:
        ValueError: The folder holds another number of pictures.
    """
    done = folder / _DONE
    if done.exists():
        known = json.loads(done.read_text())
        if known["count"] != count:
            raise ValueError(
                f"--pictures: expected {known['count']}, which {folder} holds. "
                f"Received: {count}. Pass it, or another --folder."
            )
        return known["bytes"]
    for label in range(CLASSES):
        (folder / "files" / f"class{label}").mkdir(parents=True, exist_ok=True)
    workers = len(os.sched_getaffinity(0))
    say(f"{folder}: drawing {count:,} pictures")
    # Not forked: this process may have threads.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        work = functools.partial(_make, folder, count)
        total = sum(pool.imap_unordered(work, range(min(count, NUM_DRAWN))))
    done.write_text(json.dumps({"count": count, "bytes": total}))
    return total


def shuffled(folder: pathlib.Path, count: int) -> Iterator[tuple[pathlib.Path, int]]:
    """Path and label of each, in an order that mixes the classes."""
    for number in np.random.default_rng(0).permutation(count).tolist():
        yield _path(folder, number), number % CLASSES


def _path(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / "files" / f"class{number % CLASSES}" / f"{number:06d}.jpg"


def _make(folder: pathlib.Path, count: int, drawn: int) -> int:
    """All files that are windows of one picture; returns their bytes."""
    picture, total = _draw(drawn), 0
    for number in range(drawn, count, NUM_DRAWN):
        random = np.random.default_rng((1, number))
        top, left = random.integers(0, _MARGIN + 1, 2)
        window = picture[top : top + HEIGHT, left : left + WIDTH]
        if random.integers(2):
            window = window[:, ::-1]
        encoded = io.BytesIO()
        PIL.Image.fromarray(window).save(encoded, "JPEG", quality=QUALITY)
        _path(folder, number).write_bytes(encoded.getvalue())
        total += len(encoded.getvalue())
    return total


def _draw(number: int) -> np.ndarray:
    random = np.random.default_rng((0, number))
    width, height = WIDTH + _MARGIN, HEIGHT + _MARGIN
    total = np.zeros((height, width, 3), np.float32)
    for octave in _OCTAVES:
        across, down = (max(2, side * 2**octave // 512) for side in (width, height))
        light = random.standard_normal((down, across, 1), np.float32)
        colour = random.standard_normal((down, across, 3), np.float32)
        for channel in range(3):
            small = PIL.Image.fromarray((light + 0.4 * colour)[..., channel])
            large = small.resize((width, height), PIL.Image.Resampling.BICUBIC)
            total[..., channel] += _PERSISTENCE**octave * np.asarray(large)
    total -= total.mean()
    total *= 52 / total.std()
    return np.clip(128 + total, 0, 255).astype(np.uint8)
