"""A teacher's answers on disk: a row for each example, or for each token of a text."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets.gathers import taken
from kerascale.datasets.packed import mapped
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.runtime.free_memory import available_bytes

_VALUES, _IDS, _ABOUT = "values.bin", "ids.bin", "about.json"
# Up to this size they are read into memory.
_IN_MEMORY_BYTES = 256 * 2**20
_PIECE_BYTES = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a table looks like.

    Args:
        rows: How many answers.
        classes: Probabilities in each.
        top: How many of them are kept, the largest; None: all.
        dtype: Of their logarithms: float32 or float16.
    """

    rows: int
    classes: int
    top: int | None
    dtype: str

    @property
    def kept(self) -> int:
        """Numbers in a row."""
        return self.classes if self.top is None else min(self.top, self.classes)

    @property
    def has_ids(self) -> bool:
        return self.kept < self.classes

    @property
    def id_dtype(self) -> str:
        return "uint16" if self.classes <= 2**16 else "int32"

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        each = np.dtype(self.dtype).itemsize
        if self.has_ids:
            each += np.dtype(self.id_dtype).itemsize
        return self.rows * self.kept * each

    def text(self) -> str:
        kept = f"the {self.kept} largest of " if self.has_ids else ""
        return (
            f"{self.rows:,} answers, {kept}{self.classes:,} probabilities each, "
            f"{as_size(self.num_bytes)}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Answers that a pipeline takes rows of.

    Args:
        layout: Their sizes.
        values: Logarithms of probabilities, (rows, kept).
        ids: Which classes they are of, (rows, kept); None: all, in their order.
        is_mapped: Whether they are a file's.
    """

    layout: Layout
    values: tf.Tensor
    ids: tf.Tensor | None
    is_mapped: bool

    def rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Logarithms of all probabilities of some rows.

        What is not kept of an answer is shared by the classes that are not: evenly.

        Args:
            rows: int64 of any shape.

        Returns:
            float32 of shape (*rows.shape, classes).
        """
        tensors = [t for t in (self.values, self.ids) if t is not None]
        if self.is_mapped:
            found = taken(tensors, rows)
        else:
            found = [tf.gather(tensor, rows) for tensor in tensors]
        values = tf.cast(found[0], tf.float32)
        if self.ids is None:
            return values
        return _spread(values, tf.cast(found[1], tf.int32), self.layout.classes)


def _spread(values: tf.Tensor, ids: tf.Tensor, classes: int) -> tf.Tensor:
    """Answers with all classes, of those that were kept."""
    kept = values.shape[-1]
    shape = tf.concat([tf.shape(values)[:-1], [classes]], 0)
    flat = tf.reshape(values, [-1, kept])
    # Half precision rounds: what is left of 1 is at least something.
    left = tf.maximum(1.0 - tf.reduce_sum(tf.exp(flat), -1, keepdims=True), 1e-6)
    each = tf.math.log(left / (classes - kept))
    full = tf.broadcast_to(each, [tf.shape(flat)[0], classes])
    rows = tf.broadcast_to(tf.range(tf.shape(flat)[0])[:, None], tf.shape(flat))
    places = tf.stack([rows, tf.reshape(ids, [-1, kept])], axis=-1)
    return tf.reshape(tf.tensor_scatter_nd_update(full, places, flat), shape)


def read(folder: pathlib.Path, layout: Layout) -> Table | None:
    """The table in a folder; None where there is none, or not all of it."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        if about["layout"] != dataclasses.asdict(layout):
            return None
        for name, sha256 in about["sha256"].items():
            if _sha256(folder / name) != sha256:
                say(f"note: {folder / name} is damaged; the teacher answers again")
                return None
        return _open(folder, layout)
    except (OSError, ValueError, KeyError, TypeError, RefusedError):
        return None


def write(
    folder: pathlib.Path, layout: Layout, answers: Callable[[], Iterator[np.ndarray]]
) -> Table:
    """Has a teacher answer, into a folder that is there as a whole or not at all.

    Args:
        folder: Which is not there, or damaged.
        layout: Of the table.
        answers: Gives the rows in their order, in pieces of shape (n, classes).

    Raises:
        OSError: If the folder cannot be written.
        RefusedError: If there is no room.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _refuse_too_large(layout, shutil.disk_usage(folder.parent).free, folder.parent)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _fill(temporary, layout, answers())
        names = (_VALUES, _IDS) if layout.has_ids else (_VALUES,)
        about = {
            "layout": dataclasses.asdict(layout),
            "sha256": {name: _sha256(temporary / name) for name in names},
        }
        (temporary / _ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _open(folder, layout)


def in_memory(layout: Layout, answers: Callable[[], Iterator[np.ndarray]]) -> Table:
    """The same, kept nowhere.

    Raises:
        RefusedError: If it does not fit.
    """
    _refuse_too_large(layout, available_bytes() // 2, "memory")
    parts = [_kept(piece, layout) for piece in answers()]
    values, *ids = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    with tf.device("CPU"):
        return Table(
            layout,
            tf.constant(values),
            tf.constant(ids[0].astype("int32")) if ids else None,
            False,
        )


def _fill(folder: pathlib.Path, layout: Layout, answers: Iterator[np.ndarray]) -> None:
    rows = 0
    names = (_VALUES, _IDS)[: 1 + layout.has_ids]
    files = [(folder / name).open("wb") for name in names]
    try:
        for piece in answers:
            for file, array in zip(files, _kept(piece, layout), strict=True):
                file.write(np.ascontiguousarray(array).tobytes())
            rows += len(piece)
    finally:
        for file in files:
            file.close()
    if rows != layout.rows:
        raise RuntimeError(f"teacher: {rows} answers for {layout.rows} rows")


def _kept(piece: np.ndarray, layout: Layout) -> list[np.ndarray]:
    """What is kept of some answers: values, and ids where these are not all."""
    if not layout.has_ids:
        return [piece.astype(layout.dtype)]
    ids = np.argpartition(-piece, layout.kept - 1, axis=-1)[:, : layout.kept]
    values = np.take_along_axis(piece, ids, axis=-1)
    return [values.astype(layout.dtype), ids.astype(layout.id_dtype)]


def _open(folder: pathlib.Path, layout: Layout) -> Table:
    shape = (layout.rows, layout.kept)
    arrays = [mapped.array(folder / _VALUES, layout.dtype, shape)]
    if layout.has_ids:
        arrays.append(mapped.array(folder / _IDS, layout.id_dtype, shape))
    is_mapped = layout.num_bytes > _IN_MEMORY_BYTES
    if is_mapped:
        tensors = [mapped.tensor(array) for array in arrays]
    else:
        with tf.device("CPU"):
            tensors = [tf.constant(np.array(array)) for array in arrays]
    return Table(layout, tensors[0], (tensors[1:] or [None])[0], is_mapped)


def _sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _refuse_too_large(layout: Layout, room: int, where: Any) -> None:
    if layout.num_bytes <= room:
        return
    one = dataclasses.replace(layout, top=1, dtype="float16")
    fitting = min(room // max(1, one.num_bytes), layout.kept // 2)
    fewer = f"Keep fewer (--teacher-cache-top {fitting}), make" if fitting else "Make"
    raise RefusedError(
        f"teacher_cache: expected room for {layout.text()}. Received: "
        f"{as_size(room)} free in {where}. {fewer} room, or leave teacher_cache out."
    )


def as_size(num_bytes: float) -> str:
    """In a unit that people read."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.0f} TB"
