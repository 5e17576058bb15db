"""NumPy's .npz files as a data set, with Keras' own key names."""

import functools
import os
import zipfile
import zlib
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

import numpy as np

from kerascale.config.tasks import AskedTask
from kerascale.datasets.raw import Kind, RawData
from kerascale.datasets.sources.arrays import Part, assemble
from kerascale.datasets.sources.checks import (
    Problems,
    check_features,
    check_file,
    listing,
)
from kerascale.datasets.sources.npz_headers import (
    Header,
    read_headers,
    refuse_too_much,
)
from kerascale.errors import RefusedError

# What numpy and zipfile raise on files that are damaged on purpose or by accident.
DAMAGED = (
    ValueError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
_EXPECTED = "Expected the arrays 'x' and 'y', or 'x_train' and 'y_train'"


def load_npz(
    path: str,
    num_classes: int | None = None,
    image_size: int | None = None,
    class_names: Sequence[str] | None = None,
    *,
    task: AskedTask = "classification",
) -> RawData:
    """Loads a data set from an `.npz` file.

    The keys are `x` and `y`, or `x_train` and `y_train` as in `mnist.npz`; with
    `x_test`, `y_test` and `x_val`, `y_val` (or `x_validation`, `y_validation`) where
    the file has them. Nothing is unpickled: a file from a stranger cannot run code.

    Args:
        path: The file. For what the arrays may be, see `from_numpy`.
        num_classes: Labels must be below it. Default: one more than the largest
            label of the training examples.
        image_size: Height and width to which images will be resized, which counts
            for the memory that is needed; or None.
        class_names: See `from_numpy`.
        task: See `from_numpy`.

    Raises:
        RefusedError: With every bad key, shape, label and value; before anything is
            read, if there is not enough memory for it.

    Example:

    >>> data = load_npz("mnist.npz")
    """
    path = os.fspath(path)
    arrays = _read(
        path, choose_splits, functools.partial(_fits, path, image_size, False)
    )
    parts = {
        split: Part(x, arrays[x], y, arrays[y])
        for split, (x, y) in keys_of_splits(arrays).items()
    }
    return assemble(
        f"npz:{path}",
        parts,
        class_names=class_names,
        num_classes=num_classes,
        task=task,
    )


def read_features(
    path: str, kind: Kind, shape: Sequence[int], dtype: str | None = None
) -> np.ndarray:
    """Reads examples to predict from the key `x`, `x_test` or the only array.

    Args:
        path: The `.npz` file.
        kind: `image`, `vector` or `text`, as in training.
        shape: Shape of one example in training, without the batch; `()` for text.
        dtype: `uint8` or `float32`, as in training: the network saw pixels in 0..255
            or numbers, and the other one would give wrong predictions silently.
            None: not compared.

    Returns:
        Features in the form of `Split.features`.

    Raises:
        RefusedError: With every difference from training and every bad value.
    """
    path = os.fspath(path)
    ((key, features),) = _read(
        path, _choose_features, functools.partial(_fits, path, None, True)
    ).items()
    problems = Problems(f"{path} cannot be used for predictions")
    checked = check_features(features, key, problems, kind=kind)
    problems.raise_if_any()
    found, values = checked
    expected = (kind, tuple(shape), dtype if kind == "image" and dtype else None)
    received = (found, values.shape[1:], str(values.dtype) if expected[2] else None)
    if received != expected:
        raise RefusedError(
            f"{path}: expected examples as in training: {_form(*expected)}. Received: "
            f"{key!r} with {_form(*received)}. Prepare it as the training data was."
        )
    return values


def read_labels(path: str | os.PathLike, kinds: str = "iuUT") -> np.ndarray | None:
    """Reads the labels of what `read_features` reads; None: there are none.

    Args:
        path: The `.npz` file.
        kinds: Of the dtypes that labels may have.

    Returns:
        Integers or names of classes, of shape (examples,) or (examples, 1).
    """
    path = os.fspath(path)
    found = _read(path, _choose_labels, lambda headers: None)
    labels = next(iter(found.values()), None)
    return labels if labels is not None and labels.dtype.kind in kinds else None


def _form(kind: str, shape: tuple[int, ...], dtype: str | None) -> str:
    return f"{kind} of shape {shape}" + (f" and {dtype}" if dtype else "")


_VALIDATION = (("x_val", "y_val"), ("x_validation", "y_validation"))


def keys_of_splits(names: Container[str]) -> dict[str, tuple[str, str]]:
    """Split -> the names of its features and labels, of those that a file has."""
    keys = {
        "train": ("x", "y") if "x" in names else ("x_train", "y_train"),
        "validation": next(
            (pair for pair in _VALIDATION if pair[0] in names), _VALIDATION[0]
        ),
        "test": ("x_test", "y_test"),
    }
    return {split: pair for split, pair in keys.items() if pair[0] in names}


def choose_splits(path: str, names: list[str]) -> list[str]:
    """The arrays of the splits among those of a file; refuses if some are missing."""
    if not {"x", "y"} & set(names) and not {"x_train", "y_train"} & set(names):
        raise RefusedError(f"{path}: {_EXPECTED}. Received: {listing(names)}.")
    train = ("x", "y") if {"x", "y"} & set(names) else ("x_train", "y_train")
    pairs = [train, ("x_test", "y_test"), *_VALIDATION]
    wanted = [pair for pair in pairs if set(pair) & set(names)]
    problems = Problems(f"{path} cannot be used")
    for pair in wanted:
        for key in sorted(set(pair) - set(names)):
            problems.add(
                f"{path}: expected {pair[0]!r} and {pair[1]!r} together. Received: "
                f"no {key!r} among {listing(names)}."
            )
    if set(_VALIDATION) <= set(wanted):
        problems.add(
            f"{path}: expected one validation split. Received: {listing(names)}. "
            "Remove one."
        )
    problems.raise_if_any()
    chosen = [key for pair in wanted for key in pair]
    _say_ignored(path, set(names) - set(chosen))
    return chosen


def _choose_features(path: str, names: list[str]) -> list[str]:
    for key in ("x", "x_test"):
        if key in names:
            return [key]
    if len(names) != 1:
        raise RefusedError(
            f"{path}: expected the array 'x' or 'x_test', or one array only. "
            f"Received: {listing(names)}."
        )
    return names


def _choose_labels(path: str, names: list[str]) -> list[str]:
    x, y = ("x", "y") if "x" in names else ("x_test", "y_test")
    return [y] if {x, y} <= set(names) else []


def _say_ignored(path: str, names: Iterable[str]) -> None:
    if names:
        from kerascale.runtime.console import say

        say(f"{path}: ignored the arrays {listing(sorted(names))}")


def _fits(
    path: str,
    image_size: int | None,
    is_whole: bool,
    headers: Mapping[str, Header],
) -> None:
    of_features = {name: h for name, h in headers.items() if name.startswith("x")}
    refuse_too_much(
        f"npz:{path}",
        list(of_features.values()),
        is_split=not is_whole and len(of_features) < 3,
        image_size=image_size,
    )


def open_archive(path: str) -> np.lib.npyio.NpzFile:
    """Opens an `.npz` file, of which nothing is read yet.

    Raises:
        RefusedError: If it is none.
    """
    check_file(path, "an .npz file")
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x93NUMPY"):
        raise RefusedError(
            f"Expected an .npz file. Received: {path!r}, an .npy file with one array. "
            "Write both arrays with np.savez(path, x=x, y=y)."
        )
    if not start.startswith(b"PK"):
        raise RefusedError(
            f"Expected an .npz file, which is a zip archive. Received: {path!r}, which "
            f"starts with {start!r}. Write it with np.savez(path, x=x, y=y)."
        )
    try:
        # The archive's folder is at its end: a truncated file fails here.
        return np.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise RefusedError(
            f"Expected an .npz file. Received: {path!r}, which is damaged or truncated "
            f"({error}). Copy or write it again."
        ) from error


def _read(
    path: str,
    choose: Callable[[str, list[str]], list[str]],
    check: Callable[[Mapping[str, Header]], None],
) -> dict[str, np.ndarray]:
    """The arrays that `choose(path, names)` asks for, if `check` lets them pass."""
    with open_archive(path) as archive:
        names = choose(path, list(archive.files))
        check(read_headers(archive.zip, names))
        problems = Problems(f"{path} cannot be read")
        arrays = {name: read_array(path, archive, name, problems) for name in names}
        problems.raise_if_any()
    return arrays


def read_array(path: str, archive, name: str, problems: Problems) -> np.ndarray | None:
    """One array of a file; None, with the problem noted, if it cannot be read."""
    try:
        array = archive[name]
    except DAMAGED as error:
        if "allow_pickle" in str(error):
            problems.add(
                f"{path}: expected numbers in {name!r}. Received: an array of Python "
                "objects, which is not read, because unpickling it could run code. "
                "Save it in a numeric dtype (ragged rows need padding)."
            )
        else:
            problems.add(
                f"{path}: expected the array {name!r}. Received: damaged data "
                f"({error}). Copy or write the file again."
            )
        return None
    if not isinstance(array, np.ndarray):
        problems.add(
            f"{path}: expected an array. Received: {name!r}, which is another file "
            "in the archive. Write it with np.savez(path, x=x, y=y)."
        )
        return None
    return array
