"""Inputs that an export is tried with: those of the run's data, or made-up ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets import text
from kerascale.errors import RefusedError
from kerascale.runs.files import read_examples
from kerascale.runs.layout import EXAMPLES
from kerascale.runs.run import Run

NUM_EXAMPLES = 8


def of_run(run: Run, *, as_ids: bool) -> dict[str, np.ndarray] | None:
    """The examples that training left in the run folder, as a client would send them.

    Args:
        run: The run.
        as_ids: Leaves texts as token ids.

    Returns:
        An array for each input; None if the run has none.
    """
    arrays = read_examples(run.path / EXAMPLES)
    if arrays is not None and run.info.kind == "table":
        if as_ids:
            rows = {name: tf.constant(array) for name, array in arrays.items()}
            return {"features": run.vectorizer(rows).numpy()}
        return {name: array.astype(object) for name, array in arrays.items()}
    if arrays is None or run.vectorizer is None or as_ids:
        return arrays
    (ids,) = arrays.values()
    separator = "" if run.info.kind == "corpus" else " "
    texts = [text.joined(run.vectorizer, row.tolist(), separator) for row in ids]
    return {"text": np.array(texts, dtype=object)}


def made_up(specs: Sequence[tf.TensorSpec]) -> tuple[np.ndarray, ...]:
    """Inputs of the right types and shapes, the same at each call."""
    generator = np.random.default_rng(0)
    return tuple(_made_up(spec, generator) for spec in specs)


def _made_up(spec: tf.TensorSpec, generator: np.random.Generator) -> np.ndarray:
    shape = [NUM_EXAMPLES, *(3 if size is None else size for size in spec.shape[1:])]
    dtype = spec.dtype.as_numpy_dtype
    if spec.dtype.is_floating:
        return generator.uniform(0, 1, shape).astype(dtype)
    if spec.dtype == tf.string:
        texts = np.array(["one two", "a", "", "The end."], dtype=object)
        return np.resize(texts, shape)
    return generator.integers(0, 2, shape).astype(dtype)


def fitted(
    arrays: dict[str, np.ndarray], specs: Sequence[tf.TensorSpec]
) -> tuple[np.ndarray, ...]:
    """The examples in the order and the types of the signature.

    Args:
        arrays: By the names of the inputs; or by any names, in their order.
        specs: The signature.

    Raises:
        RefusedError: If they do not fit.
    """
    names = [spec.name for spec in specs]
    ordered = (
        [arrays[n] for n in names] if set(names) == set(arrays) else arrays.values()
    )
    received = {name: array.shape for name, array in zip(arrays, ordered, strict=True)}
    fits = len(specs) == len(arrays) and all(
        spec.shape.is_compatible_with(array.shape) and len(array)
        for array, spec in zip(ordered, specs, strict=True)
    )
    if not fits:
        expected = {spec.name: tuple(spec.shape) for spec in specs}
        raise RefusedError(
            f"examples: expected a batch for each input, of shapes {expected}. "
            f"Received: {received}."
        )
    return tuple(
        array.astype(object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype)
        for array, spec in zip(ordered, specs, strict=True)
    )


def batches(
    arrays: Sequence[np.ndarray], specs: Sequence[tf.TensorSpec]
) -> list[tuple[np.ndarray, ...]]:
    """Parts of the examples that show whether each free dimension is free.

    One example, all, and all cut to half of their length where sequences may have any.
    """
    found = [tuple(array[:1] for array in arrays), tuple(arrays)]
    lengths = {
        array.shape[1]
        for array, spec in zip(arrays, specs, strict=True)
        if _is_sequence(spec)
    }
    # Several sequences of one length belong together, others are left as they are.
    if len(lengths) == 1 and (half := min(lengths) // 2):
        parts = [
            array[:2, :half] if _is_sequence(spec) else array[:2]
            for array, spec in zip(arrays, specs, strict=True)
        ]
        found.append(tuple(parts))
    return found


def _is_sequence(spec: tf.TensorSpec) -> bool:
    return spec.shape.rank in (2, 3) and spec.shape[1] is None


def tensors(arrays: Sequence[Any], specs: Sequence[tf.TensorSpec]) -> list[tf.Tensor]:
    """The arrays as the signature's tensors."""
    return [
        tf.constant(array.tolist() if spec.dtype == tf.string else array, spec.dtype)
        for array, spec in zip(arrays, specs, strict=True)
    ]
