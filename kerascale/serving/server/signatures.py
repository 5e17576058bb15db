"""A signature of a loaded SavedModel: what it takes, what it gives, and running it."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.serving.server.dtypes import Kind, kind_of
from kerascale.serving.server.status import StatusError, from_tensorflow, invalid

# Rows of a batch may differ from rows alone by rounding.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
_MADE_UP_SIZE = 8


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output.

    Args:
        kind: The type of its elements.
        shape: Its dimensions, None where one is free; None: their number is free.
    """

    kind: Kind
    shape: tuple[int | None, ...] | None

    @property
    def has_free_batch(self) -> bool:
        return bool(self.shape) and self.shape[0] is None

    def admits(self, shape: Sequence[int]) -> bool:
        """Whether an array of this shape is what the signature declares."""
        return (
            self.shape is not None
            and len(shape) == len(self.shape)
            and all(b in (None, a) for a, b in zip(shape, self.shape, strict=True))
        )


class Signature:
    """A function of the model, with named inputs and outputs.

    `joins_rows` tells whether rows of several requests may be run as one batch.
    """

    def __init__(self, name: str, definition: Any, function: Any) -> None:
        self.name = name
        self.method = definition.method_name
        self.inputs = {key: _tensor(info) for key, info in definition.inputs.items()}
        self.outputs = {key: _tensor(info) for key, info in definition.outputs.items()}
        self.kinds = {key: tensor.kind for key, tensor in self.inputs.items()}
        self.joins_rows = all(
            tensor.has_free_batch
            for tensor in (*self.inputs.values(), *self.outputs.values())
        )
        self._function = function

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for these inputs.

        Raises:
            StatusError: If TensorFlow reports an error.
        """
        import tensorflow as tf

        try:
            tensors = {name: tf.constant(array) for name, array in arrays.items()}
            outputs = self._function(**tensors)
            return {name: _numpy(tensor) for name, tensor in outputs.items()}
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except (TypeError, ValueError) as error:
            # TensorFlow's own checks of what a function is called with.
            raise invalid(str(error).partition("\n")[0]) from error

    def rows(self, arrays: Mapping[str, np.ndarray]) -> int | None:
        """How many rows these inputs have, if they can be joined with others."""
        if not self.joins_rows:
            return None
        for name, array in arrays.items():
            if not self.inputs[name].admits(array.shape):
                return None
        sizes = {len(array) for array in arrays.values()}
        return sizes.pop() if len(sizes) == 1 else None

    def warm_up(self) -> str | None:
        """Runs made-up inputs, alone and as a batch.

        Returns:
            Why rows of several requests are not joined, if they are not.

        Raises:
            StatusError: If the model fails for another reason than its inputs.
        """
        rows = [self._made_up(seed) for seed in range(3)]
        try:
            alone = [self.run(row) for row in rows]
            if not self.joins_rows:
                return "its batch dimension is not free"
            joined = self.run(join(rows))
        except StatusError as error:
            if error.code not in ("INVALID_ARGUMENT", "OUT_OF_RANGE"):
                raise
            # The made-up inputs are wrong, or the model: nobody can tell.
            self.joins_rows = False
            return f"made-up inputs were refused ({error.message[:200]})"
        self.joins_rows = _same(join(alone), joined)
        return None if self.joins_rows else "its rows depend on each other"

    def _made_up(self, seed: int) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(seed)
        return {
            name: _made_up(tensor, generator) for name, tensor in self.inputs.items()
        }


def join(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joins the rows of several inputs or outputs."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def split(
    arrays: Mapping[str, np.ndarray], sizes: Iterable[int]
) -> list[dict[str, np.ndarray]]:
    """Takes joined rows apart again; what is left over at the end is dropped."""
    parts, start = [], 0
    for size in sizes:
        stop = start + size
        parts.append({name: array[start:stop] for name, array in arrays.items()})
        start = stop
    return parts


def _tensor(info: Any) -> Tensor:
    from tensorflow.core.framework import types_pb2

    shape = None
    if not info.tensor_shape.unknown_rank:
        sizes = (dimension.size for dimension in info.tensor_shape.dim)
        shape = tuple(None if size < 0 else size for size in sizes)
    return Tensor(kind_of(types_pb2.DataType.Name(info.dtype)), shape)


def _numpy(tensor: Any) -> np.ndarray:
    value = tensor.numpy()
    if isinstance(value, bytes):  # A string without dimensions.
        array = np.empty((), np.object_)
        array[()] = value
        return array
    return np.asarray(value)


def _made_up(tensor: Tensor, generator: np.random.Generator) -> np.ndarray:
    dimensions = (None,) if tensor.shape is None else tensor.shape
    shape = [_MADE_UP_SIZE if size is None else size for size in dimensions]
    if tensor.has_free_batch:
        shape[0] = 1
    name = tensor.kind.name
    if name == "string":
        words = np.array([b"a", b"b c", b"", b"The end."], np.object_)
        return generator.choice(words, shape)
    if tensor.kind.is_float:
        return generator.uniform(0, 1, shape).astype(tensor.kind.numpy)
    return generator.integers(0, 2, shape).astype(tensor.kind.numpy)


def _same(alone: dict[str, np.ndarray], joined: dict[str, np.ndarray]) -> bool:
    for name, expected in alone.items():
        found = joined[name]
        if found.shape != expected.shape:
            return False
        if expected.dtype.kind != "f":
            if not np.array_equal(found, expected):
                return False
        elif not np.allclose(found, expected, _RELATIVE, _ABSOLUTE, equal_nan=True):
            return False
    return True
