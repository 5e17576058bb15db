"""Opens CSV files, gzip-compressed ones too; names files that are something else."""

import gzip
import zlib
from typing import BinaryIO, TextIO

from kerascale.errors import RefusedError

_GZIP = b"\x1f\x8b"
_BY_PANDAS = "Write it as CSV: pandas.{}(path).to_csv('table.csv', index=False)."
_UNPACK = "Unpack it with {}, or compress it with gzip."
# What a file begins with -> what it is, and what to do.
_OTHER_FORMATS = {
    b"PAR1": ("an Apache Parquet file", _BY_PANDAS.format("read_parquet")),
    b"ARROW1": ("an Arrow (Feather) file", _BY_PANDAS.format("read_feather")),
    b"ORC": ("an Apache ORC file", _BY_PANDAS.format("read_orc")),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _BY_PANDAS.format("read_hdf")),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Excel file",
        _BY_PANDAS.format("read_excel"),
    ),
    b"SQLite format 3\0": ("an SQLite database", "Write the table as CSV."),
    b"\x93NUMPY": ("an .npy file", "Write an .npz file and pass npz:PATH."),
    b"PK\x03\x04": (
        "a zip archive (an Excel or .npz file is one, too)",
        "Unpack it, or write the table as CSV; pass an .npz file as npz:PATH.",
    ),
    b"\xfd7zXZ\0": ("a file compressed with xz", _UNPACK.format("xz -d")),
    b"\x28\xb5\x2f\xfd": ("a file compressed with zstd", _UNPACK.format("zstd -d")),
    b"BZh": ("a file compressed with bzip2", _UNPACK.format("bzip2 -d")),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", _UNPACK.format("7z x")),
    b"%PDF-": ("a PDF file", "Write the table as CSV."),
}
# What reading a damaged file of gzip raises.
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)


def is_gzip(path: str) -> bool:
    """Whether a file is compressed with gzip, whatever its name is."""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


def open_text(path: str) -> TextIO:
    """Opens a CSV file, in UTF-8 with or without a byte order mark."""
    if is_gzip(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def open_bytes(path: str) -> BinaryIO:
    """Opens a CSV file as it is when it is not compressed."""
    return gzip.open(path, "rb") if is_gzip(path) else open(path, "rb")


def refuse_other_formats(path: str) -> None:
    """Refuses what is no CSV file by what it begins with.

    Raises:
        RefusedError: Says what it is, and how a CSV file is made of it.
    """
    with open(path, "rb") as file:
        start = file.read(16)
    for magic, (what, remedy) in _OTHER_FORMATS.items():
        # Some of these are letters that a header may begin with.
        if start.startswith(magic) and (not magic.isalnum() or _is_binary(path)):
            raise RefusedError(
                f"Expected a CSV file. Received: {path!r}, {what}. {remedy}"
            )


def refuse_damaged(path: str, error: Exception) -> RefusedError:
    """The error for a file of gzip that ends early or is damaged."""
    return RefusedError(
        f"{path}: expected a whole file, compressed with gzip. Received: one that is "
        f"damaged or truncated ({error}). Copy or write it again."
    )


def _is_binary(path: str) -> bool:
    with open(path, "rb") as file:
        return b"\0" in file.read(2**16)
