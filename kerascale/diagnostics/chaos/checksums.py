"""What a run ended with, as sums that two runs can be compared by."""

import hashlib
import io
import json
import pathlib
import zipfile

import h5py
import numpy as np

from kerascale.runs import layout
from kerascale.runs.checkpoint import Store


def fingerprints(run_dir: pathlib.Path) -> dict[str, str]:
    """sha256 of every array of the last checkpoint, of the model, and of the records.

    Args:
        run_dir: The folder of a finished run.
    """
    found, skipped = Store(run_dir / layout.CHECKPOINTS).newest()
    if found is None or skipped:
        return {"checkpoint": f"damaged: {[str(each) for each in skipped]}"}
    sums = {f"checkpoint {name}": _array(array) for name, array in found.arrays.items()}
    remembered = {
        name: found.metadata[name]
        for name in ("epoch", "step", "history", "callbacks", "stop", "rate")
    }
    sums["checkpoint step"] = str(found.step)
    sums["checkpoint memory"] = _bytes(json.dumps(remembered).encode())
    for name in (layout.HISTORY, layout.EVALUATION):
        sums[name] = _bytes((run_dir / name).read_bytes())
    with zipfile.ZipFile(run_dir / layout.MODEL) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights) as file:
        file.visititems(
            lambda name, item: (
                sums.update({f"model {name}": _array(item[()])})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return sums


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names of what is not the same."""
    names = sorted({*one, *other})
    return [name for name in names if one.get(name) != other.get(name)]


def total(sums: dict[str, str]) -> str:
    """One sum of all."""
    return _bytes(json.dumps(sums, sort_keys=True).encode())


def _array(array: np.ndarray) -> str:
    array = np.asarray(array)
    head = f"{array.dtype.str} {array.shape} ".encode()
    return _bytes(head + np.ascontiguousarray(array).tobytes())


def _bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
