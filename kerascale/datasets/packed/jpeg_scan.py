"""Writes the symbols of a JPEG as the bits of a scan with restart markers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerascale.datasets.packed.jpeg_huffman import Table
from kerascale.datasets.packed.jpeg_symbols import SYMBOLS, TABLES, Symbols

_RST0, _EOI = 0xD0, 0xD9
_WORD = 64


def _magnitudes() -> np.ndarray:
    """Of each int16, read as uint16, the bits that follow its symbol (F.1.2.1)."""
    values = np.arange(2**16).astype(np.uint16).view(np.int16).astype(np.int32)
    sizes = np.zeros(2**16, np.int32)
    for bit in range(15):
        sizes[np.abs(values) >= 2**bit] = bit + 1
    return ((values - (values < 0)) & ((1 << sizes) - 1)).astype(np.uint16)


_MAGNITUDES = _magnitudes()
# Bits behind each symbol: the number in its lower half.
_FOLLOWING = np.tile(np.arange(16, dtype=np.uint8), TABLES * SYMBOLS // 16)


class Codes(NamedTuple):
    """The codes of all symbols, by their numbers.

    Args:
        bits: uint64: a code, in front of as many zeros as bits follow it.
        lengths: uint8: of both together.
    """

    bits: np.ndarray
    lengths: np.ndarray


def codes_of(tables: Sequence[Table | None]) -> Codes:
    """The codes of the symbols in tables; None: no symbol of that one occurs."""
    bits = np.zeros(TABLES * SYMBOLS + 1, np.uint64)
    lengths = np.zeros(TABLES * SYMBOLS + 1, np.uint8)
    for number, table in enumerate(tables):
        if table is not None:
            own = slice(number * SYMBOLS, (number + 1) * SYMBOLS)
            bits[own] = table.codes << _FOLLOWING[own].astype(np.uint64)
            lengths[own] = table.lengths + _FOLLOWING[own]
    return Codes(bits, lengths)


def written(
    found: Symbols, codes: Codes, first: int, is_last: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Some segments of a scan, as uint8; and how long each is, with its marker.

    Args:
        found: Their symbols.
        codes: Of all symbols.
        first: Number of the first of the segments in the scan.
        is_last: Whether the last of them ends the picture.
    """
    numbers = found.numbers.astype(np.intp)
    values = found.values.view(np.uint16).astype(np.intp)
    bits = codes.bits.take(numbers) | _MAGNITUDES.take(values)
    lengths = codes.lengths.take(numbers)
    # "No more" follows the last symbol of a block.
    ends = codes.lengths.take(found.ends)
    bits[found.lasts] = (bits[found.lasts] << ends) | codes.bits.take(found.ends)
    lengths[found.lasts] += ends
    # Each segment ends with ones up to a whole byte.
    sums = np.cumsum(lengths, dtype=np.int64)
    behind = np.append(found.segments[1:], len(sums)) - 1
    own = np.diff(sums[behind], prepend=0)
    filling = -own & 7
    fills = filling.astype(np.uint64)
    bits[behind] = (bits[behind] << fills) | ((np.uint64(1) << fills) - np.uint64(1))
    lengths[behind] += filling.astype(np.uint8)
    sizes = (own + filling) >> 3
    data = _packed(bits, lengths)[: sizes.sum()]
    return _with_markers(data, np.cumsum(sizes), first, is_last)


def _packed(bits: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bits one behind the other, as uint8.

    Args:
        bits: uint64; changed.
        lengths: Of each, from 1 to 63.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    words = (ends - lengths) >> 6
    # How far each ends in front of the end of the word that it begins in.
    left = ((words + 1) << 6) - ends
    over = np.flatnonzero(left < 0)
    beyond = (-left[over]).view(np.uint64)
    split = bits[over]
    bits <<= left.view(np.uint64)
    bits[over] = split >> beyond
    firsts = np.append(0, np.flatnonzero(words[1:] != words[:-1]) + 1)
    found = np.zeros(words[-1] + 2, np.uint64)
    np.bitwise_or.reduceat(bits, firsts, out=found[:-1])
    found[words[over] + 1] |= split << (np.uint64(_WORD) - beyond)
    return found.byteswap().view(np.uint8)


def _with_markers(
    data: np.ndarray, ends: np.ndarray, first: int, is_last: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of 255 are followed by a zero, segments by their markers."""
    full = np.flatnonzero(data == 0xFF) + 1
    before = np.searchsorted(full, ends, "right")
    lengths = np.diff(ends + before, prepend=0) + 2
    at = np.concatenate([full, np.repeat(ends, 2)])
    markers = np.full((len(ends), 2), 0xFF, np.uint8)
    markers[:, 1] = _RST0 + (first + np.arange(len(ends))) % 8
    if is_last:
        markers[-1, 1] = _EOI
    added = np.concatenate([np.zeros(len(full), np.uint8), markers.ravel()])
    return np.insert(data, at, added), lengths
