"""Adapters in a file of their own, which knows the model that they belong to."""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np

from kerascale.compression import named_layers
from kerascale.compression.adapters import adapting, hosts, targets
from kerascale.engine import state
from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError
from kerascale.runtime import atomic_files

_FORMAT = 1
_ABOUT = "about"


@dataclasses.dataclass(frozen=True)
class Content:
    """What such a file holds.

    Args:
        base: Fingerprint of the model that the adapters belong to.
        rank: Columns of the first matrix of each.
        alpha: What changes are multiplied by, times `rank`.
        kernels: The place of each kernel among those that can have adapters.
        arrays: The two matrices of each kernel.
    """

    base: str
    rank: int
    alpha: float
    kernels: tuple[int, ...]
    arrays: tuple[tuple[np.ndarray, np.ndarray], ...]


def fingerprint(model: keras.Model) -> str:
    """sha256 of all weights of a model but its adapters, their shapes and dtypes."""
    digest = hashlib.sha256()
    for variable in adapting.base_weights(model):
        array = np.ascontiguousarray(state.held(variable))
        digest.update(f"{array.shape} {variable.dtype}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def content(model: keras.Model) -> bytes:
    """What `save` writes."""
    adapting.refuse_without(model)
    about: dict[str, Any] = {
        "format": _FORMAT,
        "base": fingerprint(model),
        "kernels": [],
    }
    arrays: dict[str, np.ndarray] = {}
    for place, (target, adapter) in enumerate(_all(model)):
        if adapter is None:
            continue
        rank = adapter.a.shape[-1]
        about |= {"rank": rank, "alpha": adapter.scale * rank}
        about["kernels"].append(
            {"place": place, "layer": target.path, "variable": target.name}
        )
        for which in ("a", "b"):
            arrays[f"{place:05d}/{which}"] = state.held(getattr(adapter, which))
    file = io.BytesIO()
    text = np.frombuffer(json.dumps(about, indent=1).encode(), np.uint8)
    np.savez(file, **{_ABOUT: text}, **arrays)
    return file.getvalue()


def save(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the adapters of a model, and the fingerprint of what they belong to.

    Args:
        model: Of `adapt`.
        path: An `.npz` file, of NumPy arrays: (inputs, rank) and (rank, outputs) of
            each kernel.

    Raises:
        RefusedError: If the model has no adapters.
    """
    made = content(model)
    with atomic_files.replacing(pathlib.Path(path)) as temporary:
        temporary.write_bytes(made)


def load(model: keras.Model, path: str | os.PathLike) -> keras.Model:
    """Gives a model the adapters of a file. It goes on training where they were.

    Args:
        model: Built: the one that the adapters were trained on, without adapters or
            with others, which are dropped.
        path: What `save` wrote, or a run folder with it.

    Returns:
        The same object, with adapters as `adapt` gives them.

    Raises:
        RefusedError: If the file is damaged, or belongs to another model.
    """
    return give(model, read(path), str(path))


def read(path: str | os.PathLike) -> Content:
    """What a file holds.

    Raises:
        RefusedError: If it is none of `save`, or damaged.
    """
    path = pathlib.Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file[_ABOUT].tobytes())
            if about["format"] != _FORMAT:
                raise ValueError(f"format {about['format']!r:.20}")
            kernels = tuple(int(k["place"]) for k in about["kernels"])
            arrays = tuple(
                (file[f"{k:05d}/a"], file[f"{k:05d}/b"]) for k in sorted(kernels)
            )
            return Content(
                str(about["base"]),
                int(about["rank"]),
                float(about["alpha"]),
                tuple(sorted(kernels)),
                arrays,
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RefusedError(
            f"adapters: expected a file that kerascale.compression.adapters.save "
            f"wrote. Received: {path} ({type(error).__name__}: {error})."
        ) from error


def give(model: keras.Model, found: Content, source: str) -> keras.Model:
    """Gives a model adapters; see `load`."""
    ours = fingerprint(model)
    if ours != found.base:
        raise RefusedError(
            "adapters: expected the model that they were trained on, of fingerprint "
            f"{found.base[:12]}. Received: for {source} one of {ours[:12]}. Load that "
            "model, with the weights that it had then."
        )
    if adapting.is_adapted(model):
        adapting.drop(model)
    available = targets.find(model)
    chosen = [available[place] for place in found.kernels]
    adapting.give(model, available, chosen, found.rank, found.alpha / found.rank, 0)
    for target, arrays in zip(chosen, found.arrays, strict=True):
        adapter = hosts.adapters_of(target.layer)[target.name]
        adapter.a.assign(arrays[0])
        adapter.b.assign(arrays[1])
    return model


def _all(model: keras.Model) -> list[tuple[Any, Any]]:
    """All kernels that can have an adapter, as `targets.find` has them, and theirs."""
    names = {id(layer): path for path, layer in named_layers.paths(model).items()}
    found = []
    for layer in keras_private.all_layers(model):
        with hosts.without_adapters(layer):
            own = targets.of_layer(layer, names.get(id(layer), ""))
        adapters = hosts.adapters_of(layer)
        found += [(target, adapters.get(target.name)) for target in own]
    return found
