"""Texts in UTF-8, read in blocks; joined, they are the files as Python reads them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kerascale.errors import RefusedError

BLOCK_BYTES = 2 * 2**20


class TextBlock(NamedTuple):
    """Characters that follow one another, and where they end.

    Args:
        text: The characters; each line ends with a line feed.
        file: Number of the file.
        start: Where they begin in it, in bytes.
        end: Where they end in it.
    """

    text: str
    file: int
    start: int
    end: int


def blocks(files: Sequence[str], file: int = 0, start: int = 0) -> Iterator[TextBlock]:
    """The characters of all files, from an end of a block on.

    Args:
        files: The files.
        file: Number of the file to begin with.
        start: Where to begin in it, in bytes.

    Raises:
        RefusedError: If a file cannot be read, or is not UTF-8.
    """
    for number in range(file, len(files)):
        for text, begin, end in _of_file(files[number], start):
            yield TextBlock(text, number, begin, end)
        start = 0


def _of_file(path: str, start: int) -> Iterator[tuple[str, int, int]]:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            rest = b""
            while data := file.read(BLOCK_BYTES):
                data = rest + data
                cut = _end_of_characters(data)
                rest = data[cut:]
                if cut:
                    yield _decoded(data[:cut], path, start), start, start + cut
                    start += cut
            if rest:
                yield _decoded(rest, path, start), start, start + len(rest)
    except OSError as error:
        raise RefusedError(
            f"text: expected a readable file. Received: {path} ({error.strerror})."
        ) from error


def _end_of_characters(data: bytes) -> int:
    """Where the last whole character ends; what may be half of \\r\\n stays, too."""
    end = len(data)
    for back, byte in enumerate(data[:-4:-1], 1):
        if byte & 0xC0 != 0x80:
            wanted = 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
            end -= back if wanted > back else 0
            break
    return end - 1 if data[end - 1 : end] == b"\r" else end


def _decoded(data: bytes, path: str, start: int) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(
            f"text: expected UTF-8 text. Received: {path}, in which byte "
            f"{start + error.start} is not. Convert it: iconv -t UTF-8"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
