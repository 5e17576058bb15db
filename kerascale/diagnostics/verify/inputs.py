"""What `verify` is given: its function is found again elsewhere, its data are read."""

import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kerascale.errors import RefusedError

_DEFAULT_BATCH_SIZE = 32


def locate(make_model: Callable[[], Any]) -> tuple[tuple[str, str], str | None]:
    """Where another process finds a function.

    Args:
        make_model: At the top level of a module, or of the script that runs.

    Returns:
        (module, name), and the script's path if the module is that.

    Raises:
        RefusedError: If another process would not find it.
    """
    module = sys.modules.get(getattr(make_model, "__module__", None) or "")
    name = getattr(make_model, "__qualname__", "")
    if not callable(make_model) or getattr(module, name, None) is not make_model:
        raise RefusedError(
            "make_model: expected a function at the top level of a module, or of the "
            "script that runs: each configuration calls it in a process of its own. "
            f"Received: {make_model!r}. Define it with `def` outside of any function."
        )
    if module.__name__ != "__main__":
        return (module.__name__, name), None
    script = getattr(module, "__file__", None)
    if script is None or not pathlib.Path(script).is_file():
        raise RefusedError(
            "make_model: expected a function in a file, which other processes can "
            f"import. Received: {name} of a session that is in no file. Write it into "
            "a module and import it from there."
        )
    return (module.__name__, name), str(pathlib.Path(script).resolve())


def read_batches(dataset: Any, steps: int, batch_size: int | None) -> list[Any]:
    """The first batches of what `verify` is given.

    Args:
        dataset: A `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight); or a
            tuple of arrays.
        steps: How many; a small data set begins anew.
        batch_size: For arrays; None: 32.

    Returns:
        Tuples of nests of NumPy arrays.

    Raises:
        RefusedError: If they are no such batches.
    """
    if hasattr(dataset, "element_spec"):
        if batch_size is not None:
            raise RefusedError(
                "batch_size: expected none with a tf.data.Dataset, which has batches. "
                f"Received: batch_size={batch_size!r}. Leave it out."
            )
        # Without importing TensorFlow for those who have arrays.
        batches = list(dataset.take(steps).as_numpy_iterator())
    else:
        batches = _batches_of_arrays(dataset, steps, batch_size)
    if not batches:
        raise RefusedError(
            "dataset: expected at least one batch. Received: an empty data set."
        )
    for batch in batches[:1]:
        _refuse_other_batch(batch)
    batches = [_as_tuples(batch) for batch in batches]
    return [batches[i % len(batches)] for i in range(steps)]


def _batches_of_arrays(arrays: Any, steps: int, batch_size: int | None) -> list[Any]:
    if not isinstance(arrays, tuple) or not 1 <= len(arrays) <= 3:
        raise RefusedError(
            "dataset: expected a tf.data.Dataset of batches, or a tuple of arrays "
            "(x, y) or (x, y, sample_weight). Received: an object of type "
            f"{type(arrays).__name__}."
        )
    size = _DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise RefusedError(
            f"batch_size: expected an integer >= 1. Received: batch_size={size!r}."
        )
    arrays = _map(np.asarray, arrays)
    lengths = {array.shape[:1] for array in _leaves(arrays)}
    if len(lengths) != 1 or lengths == {()}:
        raise RefusedError(
            "dataset: expected arrays with one row for each example. Received: arrays "
            f"of shapes {', '.join(str(a.shape) for a in _leaves(arrays))}."
        )
    (number,) = lengths.pop()
    return [
        _map(lambda array, at=start: array[at : at + size], arrays)
        for start in range(0, min(number, steps * size), size)
    ]


def _refuse_other_batch(batch: Any) -> None:
    problems = []
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        problems.append(
            "dataset: expected batches (x, y) or (x, y, sample_weight). Received: "
            f"elements of type {type(batch).__name__}. Map them to tuples"
        )
    for leaf in _leaves(batch):
        is_array = isinstance(leaf, np.ndarray) and leaf.ndim
        if not is_array or leaf.dtype.kind not in "biuf":
            problems.append(
                "dataset: expected dense batches of numbers. Received: a component "
                f"of type {type(leaf).__name__} ({getattr(leaf, 'dtype', 'none')}). "
                "Map strings to numbers, and ragged or sparse tensors to dense ones"
            )
    if problems:
        raise RefusedError(problems, heading="dataset")


def _leaves(nest: Any) -> Iterator[Any]:
    if isinstance(nest, dict):
        nest = tuple(nest.values())
    # A ragged or sparse value of NumPy is a named tuple: a leaf.
    if isinstance(nest, list) or type(nest) is tuple:
        for part in nest:
            yield from _leaves(part)
    elif nest is not None:
        yield nest


def _map(function: Callable[[Any], Any], nest: Any) -> Any:
    if isinstance(nest, dict):
        return {name: _map(function, part) for name, part in nest.items()}
    if isinstance(nest, list) or type(nest) is tuple:
        return tuple(_map(function, part) for part in nest)
    return nest if nest is None else function(nest)


def _as_tuples(batch: Any) -> Any:
    # tf.data takes a list for one tensor.
    return _map(lambda leaf: leaf, batch)
