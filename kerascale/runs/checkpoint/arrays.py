"""Named arrays as one npz file that NumPy can read, and back. Nothing is pickled.

The names and the types stand in a table beside the file, so that a name can be any
text. An array of a type that NumPy has not (bfloat16, float8, int4) is written as
unsigned integers of the same size; the table says what they mean.
"""

import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from kerascale.errors import RefusedError
from kerascale.runtime.durable_files import PIECE, DamagedError, HashedFile

# NumPy's own kinds that can be written without pickle.
_KINDS = frozenset("biufcSUMm")
_EXTENSION_TYPE = re.compile(r"bfloat16|float[468]_\w+|u?int[24]")
# More than any header of an array without fields.
_LONGEST_HEADER = 10_000
# Of a member of a zip, before its name.
_ZIP_HEADER = 30


def describe(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The table: name, type and shape of each array, in the order of the file.

    Raises:
        RefusedError: If a name is no text, or a type cannot be written.
    """
    table = []
    for name, array in arrays.items():
        # A variable without dimensions gives a NumPy scalar; it comes back as an array.
        if not isinstance(name, str) or not isinstance(array, np.ndarray | np.generic):
            raise RefusedError(
                "checkpoint: expected NumPy arrays by name. Received: "
                f"{name!r:.80} of type {type(array).__name__}. Convert it by "
                "np.asarray."
            )
        dtype = array.dtype
        if _is_extension(dtype):
            text = dtype.name
        elif dtype.kind in _KINDS and dtype.itemsize:
            text = dtype.str
        else:
            raise RefusedError(
                f"checkpoint: expected numbers, truth values or text of fixed size in "
                f"{name!r:.80}. Received: dtype={dtype}. Convert it by astype."
            )
        table.append({"name": name, "dtype": text, "shape": list(array.shape)})
    return table


def write(
    file: HashedFile,
    arrays: Mapping[str, np.ndarray],
    halfway: Callable[[], None] = lambda: None,
) -> None:
    """Writes the arrays, in their order, as an npz file.

    Equal arrays give equal bytes: no time of day, no compression.

    Args:
        file: Where to.
        arrays: Those that `describe` has accepted.
        halfway: Called when half of them are written.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for index, array in enumerate(arrays.values()):
            if index == len(arrays) // 2:
                halfway()
            array = np.asarray(array, order="C")
            if _is_extension(array.dtype):
                array = array.view(np.dtype(f"u{array.dtype.itemsize}"))
            # ZipInfo's own time is 1980.
            member = zipfile.ZipInfo(_member(index))
            with archive.open(member, "w", force_zip64=True) as destination:
                np.lib.format.write_array_header_1_0(
                    destination, np.lib.format.header_data_from_array_1_0(array)
                )
                for piece in _pieces(array):
                    destination.write(piece)


def read(file: IO[bytes], table: Any) -> dict[str, np.ndarray]:
    """The arrays of a file that `write` has written.

    What a header claims is compared with what is there before memory is taken for it.

    Raises:
        DamagedError: If the file and the table do not belong together.
    """
    return _each(file, table, _read_member)


def locate(file: IO[bytes], table: Any) -> dict[str, int]:
    """Where in a file that `write` has written the first byte of each array lies.

    Headers are compared with the table as in `read`; no array is read.

    Raises:
        DamagedError: If the file and the table do not belong together.
    """

    def place(
        archive: zipfile.ZipFile, member: zipfile.ZipInfo, entry: dict[str, Any]
    ) -> int:
        with archive.open(member) as source:
            _check_header(source, member, entry)
            header = source.tell()
        file.seek(member.header_offset)
        # The name and the extra field stand between the zip's own header and ours.
        lengths = struct.unpack("<HH", file.read(_ZIP_HEADER)[-4:])
        return member.header_offset + _ZIP_HEADER + sum(lengths) + header

    return _each(file, table, place)


def _each(file: IO[bytes], table: Any, take: Callable[..., Any]) -> dict[str, Any]:
    found = {}
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.namelist() != [_member(index) for index in range(len(table))]:
                raise DamagedError("the arrays are not those of the table")
            for entry, member in zip(table, archive.infolist(), strict=True):
                found[entry["name"]] = take(archive, member, entry)
    # Each byte of a zip fails in a way of its own.
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedError(f"the arrays cannot be parsed ({error!s:.200})") from error
    if len(found) != len(table):
        raise DamagedError("two arrays have one name")
    return found


def _read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, entry: dict[str, Any]
) -> np.ndarray:
    dtype, stored = types(entry["dtype"])
    with archive.open(member) as source:
        _check_header(source, member, entry)
        array = np.empty(entry["shape"], stored)
        for piece in _pieces(array):
            if source.readinto(piece) != len(piece):
                raise DamagedError(f"array {entry['name']!r:.80} is cut off")
        source.read(1)  # The end, where zipfile compares its own checksum.
    return array.view(dtype)


def _check_header(
    source: IO[bytes], member: zipfile.ZipInfo, entry: dict[str, Any]
) -> None:
    """Reads the header of an array, and refuses one that is not of the table."""
    _, stored = types(entry["dtype"])
    if np.lib.format.read_magic(source) != (1, 0):
        raise DamagedError("an array is of another version of the format")
    shape, is_fortran, found = np.lib.format.read_array_header_1_0(
        source, max_header_size=_LONGEST_HEADER
    )
    if (list(shape), is_fortran, found) != (entry["shape"], False, stored):
        raise DamagedError(
            f"array {entry['name']!r:.80}: expected {stored} of shape "
            f"{entry['shape']}. Received: {found} of shape {list(shape)}"
        )
    size = math.prod(shape) * stored.itemsize
    if (
        member.compress_type != zipfile.ZIP_STORED
        or member.file_size != source.tell() + size
    ):
        raise DamagedError(f"array {entry['name']!r:.80} is not of its size")


def types(text: str) -> tuple[np.dtype, np.dtype]:
    """The type of an array, and the one that it is written as."""
    if _EXTENSION_TYPE.fullmatch(text):
        # Keras brings it along; NumPy does not need it.
        import ml_dtypes

        dtype = np.dtype(getattr(ml_dtypes, text))
        return dtype, np.dtype(f"u{dtype.itemsize}")
    dtype = np.dtype(text)
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise DamagedError(f"the type {text!r:.80} is not one of ours")
    return dtype, dtype


def _is_extension(dtype: np.dtype) -> bool:
    return dtype.type.__module__ == "ml_dtypes"


def _member(index: int) -> str:
    return f"{index:06d}.npy"


def _pieces(array: np.ndarray) -> list[memoryview]:
    """The bytes of a contiguous array, so that none is copied."""
    if not array.size:
        return []
    data = memoryview(array.reshape(-1).view(np.uint8))
    return [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
