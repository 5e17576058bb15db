"""Files that somebody else has made, looked at before anything of them is loaded."""

import json
import os
import pathlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Container

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import hdf5, keras_config
from kerascale.runs.checkpoint.hdf5 import LARGEST, refuse_unsafe_weights
from kerascale.runs.checkpoint.saved_model import (
    refuse_unsafe_saved_model,
    scan_saved_model,
)

__all__ = [
    "refuse_unsafe_keras_file",
    "refuse_unsafe_saved_model",
    "refuse_unsafe_weights",
    "scan_saved_model",
]

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"
_LARGEST_JSON = 64 * 2**20
_MOST_MEMBERS = 10_000
# Keras stores without compression; who compresses again gains a little.
_EXPANSION = 100
_FLOOR = 2**20
_WAY_OUT = "Take the file from somewhere else, or load it with Keras where you trust it"


def refuse_unsafe_keras_file(
    path: str | os.PathLike,
    *,
    max_bytes: int = LARGEST,
    registered: Container[str] = (),
    weights_only: bool = False,
) -> None:
    """Refuses a `.keras` file that could do more than give a model.

    That is members with names outside of the archive, twice there, or that are links;
    decompression bombs; a configuration with Lambda, code, or classes and functions of
    modules that are neither Keras' nor ours; weights that `refuse_unsafe_weights`
    would refuse. HDF5 files of whole models are refused altogether. Nothing is imported
    that the file names.

    It stands before Keras' own safe mode, and does not replace it: load with
    `safe_mode=True`, which is the default.

    Not covered: a file made to exploit an error in Python's zip or JSON reader, in the
    HDF5 library or in TensorFlow's kernels; a model that is large when it is built, or
    gives wrong answers on purpose; what a registered class does with its
    configuration; a file that is exchanged after it was looked at.

    Args:
        path: The file.
        max_bytes: How large all members together may become.
        registered: Names under which this process has registered classes with Keras,
            such as `keras.saving.get_custom_objects()`. Their modules are allowed,
            since Keras takes the registered class and imports nothing.
        weights_only: Nothing but arrays will be read, so that it does not matter what
            the configuration names.

    Raises:
        RefusedError: If it is unsafe, or no `.keras` file.
    """
    path = pathlib.Path(path)
    if path.suffix in (".h5", ".hdf5"):
        raise RefusedError(
            f"model file: expected a .keras file. Received: {path}, an HDF5 file, "
            "which can hold code that loading it runs. Convert it to .keras with Keras "
            "where you trust it, or pass its weights as .weights.h5."
        )
    if path.suffix != ".keras" or not path.is_file():
        raise RefusedError(
            f"model file: expected a .keras file. Received: {path}, which is "
            f"{'a folder' if path.is_dir() else 'none'}. Save it by model.save."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            found = _archive_problems(archive, max_bytes)
            # What is in it is read only if that is safe to do.
            if not found:
                if not weights_only:
                    found = _config_problems(archive, registered)
                found += _weights_problems(archive, max_bytes)
    except OSError as error:
        found = [f"cannot be read ({error.strerror or error})"]
    # Each byte of a zip fails in a way of its own.
    except (
        EOFError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        found = [f"is damaged ({str(error)[:200]})"]
    if found:
        raise RefusedError(
            [
                "model file: expected a model made of Keras' own parts. Received: "
                f"{path}, which {reason}. {_WAY_OUT}"
                for reason in found
            ],
            heading=f"Refused {path}",
        )


def _archive_problems(archive: zipfile.ZipFile, max_bytes: int) -> list[str]:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        return [f"has {len(members)} members, where {_MOST_MEMBERS} are allowed"]
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        return [f"would become {total} bytes, where {max_bytes} are allowed"]
    found, names = [], set()
    for member in members:
        reason = _member_problem(member)
        name = member.filename.rstrip("/")
        if name in names:
            reason = "is there twice"
        names.add(name)
        if reason:
            found.append(f"has a member {member.orig_filename!r:.200} that {reason}")
    return found


def _member_problem(member: zipfile.ZipInfo) -> str | None:
    name = member.orig_filename
    # A name is cut at a NUL, and a backslash separates on other systems.
    if name.startswith("/") or "\\" in name or "\0" in name or ":" in name:
        return "names a place elsewhere"
    if {"..", ".", ""} & set(name.rstrip("/").split("/")):
        return "names a place elsewhere"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > max(_FLOOR, _EXPANSION * member.compress_size):
        return f"grows from {member.compress_size} to {member.file_size} bytes"
    return None


def _config_problems(archive: zipfile.ZipFile, registered: Container[str]) -> list[str]:
    if _CONFIG not in archive.namelist():
        return [f"has no {_CONFIG}"]
    size = archive.getinfo(_CONFIG).file_size
    if size > _LARGEST_JSON:
        return [f"has a {_CONFIG} of {size} bytes, where {_LARGEST_JSON} are allowed"]
    try:
        config = json.loads(archive.read(_CONFIG))
    except (ValueError, RecursionError) as error:
        return [f"has a {_CONFIG} that is not JSON ({type(error).__name__})"]
    return [
        f"has in {_CONFIG} {it}" for it in keras_config.problems(config, registered)
    ]


def _weights_problems(archive: zipfile.ZipFile, max_bytes: int) -> list[str]:
    if _WEIGHTS not in archive.namelist():
        # Keras could read an npz file instead, but writes none into a .keras file.
        return [f"has no {_WEIGHTS}"]
    # HDF5 goes back and forth, which a compressed member does slowly.
    with tempfile.TemporaryFile() as copy, archive.open(_WEIGHTS) as member:
        shutil.copyfileobj(member, copy, 2**20)
        copy.seek(0)
        return [
            f"has in {_WEIGHTS} {reason}" for reason in hdf5.problems(copy, max_bytes)
        ]
