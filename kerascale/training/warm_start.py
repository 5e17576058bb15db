"""Fine-tuning: a model starts from the weights of another."""

import os
import pathlib
import shutil
import tempfile
import zipfile
from typing import Any

import h5py
import keras

from kerascale.errors import RefusedError
from kerascale.runs import files, layout
from kerascale.runs.checkpoint import refuse_unsafe_keras_file, refuse_unsafe_weights
from kerascale.runtime.console import counted, say

_EXPECTED = "init_from: expected a run folder, a .keras or a .weights.h5 file."
# Where Keras keeps the weights inside a .keras file, which is a zip.
_MEMBER = "model.weights.h5"
_WAY_OUT = (
    "Make the architectures equal, or pass --init-partial to start from those "
    "that match"
)


def find(source: str | os.PathLike) -> pathlib.Path:
    """The file that `load` reads, found before anything else is done.

    Args:
        source: A run folder, a `.keras` file or a `.weights.h5` file.

    Raises:
        RefusedError: If it is none of them.
    """
    path = pathlib.Path(source)
    if path.is_dir():
        best = path / layout.CHECKPOINTS / layout.BEST_WEIGHTS
        # A run that was stopped has no model, but the best weights so far.
        stopped = best.is_file() and not (path / layout.MODEL).is_file()
        path = best if stopped else path / layout.MODEL
    if not path.is_file():
        raise RefusedError(f"{_EXPECTED} Received: {path}, which is no file.")
    if path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5"):
        raise RefusedError(
            f"{_EXPECTED} Received: {path}, an HDF5 file, which may hold a whole model "
            "and code that loading it runs. Load it with Keras where you trust it, and "
            f'write its arrays: model.save_weights("{path.stem}.weights.h5").'
        )
    if path.suffix != ".keras" and not path.name.endswith(".weights.h5"):
        raise RefusedError(f"{_EXPECTED} Received: {path}.")
    return path


def refuse_other_vocabulary(vectorizer: Any, source: str | os.PathLike) -> None:
    """Refuses a run whose ids stand for other words than those of `vectorizer`.

    Raises:
        RefusedError: If they differ, or the run's vectorizer is damaged or unsafe.
    """
    if vectorizer is None:
        return
    file = find(source)
    # Beside a run's model.keras, or above its checkpoints.
    places = (file.parent / layout.VECTORIZER, file.parent.parent / layout.VECTORIZER)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return
    theirs = files.load_vectorizer(path).get_vocabulary()
    ours = vectorizer.get_vocabulary()
    if ours != theirs:
        same = sum(a == b for a, b in zip(ours, theirs, strict=False))
        raise RefusedError(
            f"init_from: expected a run with the vocabulary of this data. Received: "
            f"{source}, of which {same} of {len(theirs)} ids mean the same here. Its "
            "weights would belong to other words; train on its data first."
        )


def load(
    model: keras.Model, source: str | os.PathLike, *, partial: bool = False
) -> None:
    """Copies weights into a built model, and says what was copied.

    No class is loaded from the file: only arrays are read, and what else is in a
    `.keras` file has no effect. The optimizer starts anew.

    Args:
        model: A built model.
        source: A run folder, a `.keras` file or a `.weights.h5` file.
        partial: Whether to go on if some variables have no counterpart; they are
            listed and keep their initial values.

    Raises:
        RefusedError: If the file cannot be read or is unsafe; or if a variable on
            either side has no counterpart of the same shape, listing every one. The
            model is then unchanged.
    """
    path = find(source)
    with tempfile.TemporaryDirectory() as temporary:
        theirs = pathlib.Path(temporary) / "theirs.weights.h5"
        ours = pathlib.Path(temporary) / "ours.weights.h5"
        _extract(path, theirs)
        model.save_weights(ours)
        copied, problems = _merge(theirs, ours)
        if problems and not (partial and copied):
            problems[0] += f". {_WAY_OUT}"
            raise RefusedError(problems, heading=f"init_from {source}")
        model.load_weights(ours)
    say(f"initial weights: {counted(copied, 'variable')} from {source}")
    for problem in problems:
        say(f"  left as they are: {problem}")


def _extract(path: pathlib.Path, destination: pathlib.Path) -> None:
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                archive.getinfo(_MEMBER)
            refuse_unsafe_keras_file(path, weights_only=True)
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(_MEMBER) as member,
                destination.open("wb") as file,
            ):
                shutil.copyfileobj(member, file)
        else:
            shutil.copyfile(path, destination)
        with h5py.File(destination):
            pass
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise RefusedError(f"{_EXPECTED} Received: {path} ({error}).") from error
    refuse_unsafe_weights(destination)


def _merge(theirs: pathlib.Path, ours: pathlib.Path) -> tuple[int, list[str]]:
    """Writes what matches of `theirs` into `ours`.

    Returns:
        The number of variables written, and a message for each that has no match.
    """
    copied, problems = 0, []
    with h5py.File(theirs) as source, h5py.File(ours, "r+") as target:
        given, wanted = _variables(source), _variables(target)
        for name, variable in wanted.items():
            if name not in given:
                problems.append(
                    f"{name}: expected an array of shape {variable.shape}. Received: "
                    "none"
                )
            elif given[name].shape != variable.shape:
                problems.append(
                    f"{name}: expected shape {variable.shape}. Received: "
                    f"{given[name].shape}"
                )
            else:
                variable[...] = given[name][...]
                copied += 1
        problems += [
            f"{name}: not in the model. Received: an array of shape {array.shape}"
            for name, array in given.items()
            if name not in wanted
        ]
    return copied, problems


def _variables(file: h5py.File) -> dict[str, h5py.Dataset]:
    found = {}

    def visit(name: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            found[name] = item

    file.visititems(visit)
    return found
