"""From quantized coefficients to the symbols of a sequential scan, with NumPy.

ITU-T T.81, F.1.2: of each block the difference of its DC coefficient to the one before
in its component, then its other coefficients that are not zero, in zigzag order, each
with the number of zeros in front of it. The first difference behind a restart marker is
the DC coefficient itself.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kerascale.datasets.packed.jpeg_header import BLOCK, JpegHeader

# A symbol's number is its table's times 256, plus its own byte. The luminance has
# tables 0 (DC) and 1 (AC), other components 2 and 3.
TABLES, SYMBOLS = 4, 256
# Blocks that are worked on at once: a picture of 500 x 375 is one piece, a larger one
# takes no more memory for it.
_BAND = 8192
_ZEROS, _END = 0xF0, 0x00
_LARGEST_DC, _LARGEST_AC = 11, 10


def _zigzag() -> np.ndarray:
    """Of each place in zigzag order, that in the order of rows."""
    row, column = np.divmod(np.arange(BLOCK**2), BLOCK)
    diagonal = row + column
    along = np.where(diagonal % 2, row, column)
    return np.lexsort((along, diagonal))


def _sizes() -> np.ndarray:
    """Of each int16, read as uint16, the bits that its magnitude takes."""
    sizes = np.zeros(2**15 + 1, np.uint8)
    for bit in range(16):
        sizes[2**bit :] = bit + 1
    return np.concatenate([sizes[: 2**15], sizes[:0:-1]])


_ZIGZAG = _zigzag()
_SIZES = _sizes()


class Symbols(NamedTuple):
    """Symbols of some segments between restart markers, in their order.

    Args:
        numbers: uint16 of shape (symbols,): a symbol's table times 256, plus itself.
        values: int16 of shape (symbols,): the coefficient, or difference, of each.
        lasts: int64 of shape (blocks,): where the last symbol of each block is.
        ends: uint16 of shape (blocks,): the number of the symbol for "no more", which
            follows that one; `TABLES * SYMBOLS`: none does.
        segments: int64 of shape (segments,): where the first symbol of each is.
    """

    numbers: np.ndarray
    values: np.ndarray
    lasts: np.ndarray
    ends: np.ndarray
    segments: np.ndarray

    def frequencies(self) -> np.ndarray:
        """int64 of shape (TABLES, SYMBOLS): how often each symbol occurs."""
        size = TABLES * SYMBOLS
        found = np.bincount(self.numbers, minlength=size)
        found += np.bincount(self.ends, minlength=size + 1)[:size]
        return found.reshape(TABLES, SYMBOLS)


def symbols(
    coefficients: Sequence[np.ndarray], header: JpegHeader, interval: int
) -> Iterator[Symbols]:
    """The symbols of a scan with restart markers, some rows of MCUs at a time.

    Args:
        coefficients: Of each component, as `jpeg_coefficients.read` gives them.
        header: Of the JPEG.
        interval: Between restart markers, in MCUs; divides a row of them.

    Raises:
        ValueError: If a coefficient is larger than eight bits of a pixel give.
    """
    factors = [(f & 15, f >> 4) for f in header.sampling]
    if len(factors) == 1:
        factors = [(1, 1)]
    down = -(-header.height // header.mcu_sides[0])
    across = -(-header.width // header.mcu_sides[1])
    sizes = [high * wide for high, wide in factors]
    rows = max(1, _BAND // (across * sum(sizes)))
    # Of each block of an MCU: 0: luminance, 2: another component.
    tables = np.repeat([0, 2, 2, 2][: len(sizes)], sizes).astype(np.uint8)
    for first in range(0, down, rows):
        count = min(rows, down - first)
        parts = [
            _in_mcus(own, first, count, across, *factor)
            for own, factor in zip(coefficients, factors, strict=True)
        ]
        blocks = np.concatenate(parts, axis=1).reshape(-1, BLOCK**2)
        blocks = blocks.take(_ZIGZAG, axis=1)
        segments = count * across // interval
        _take_differences(blocks.reshape(segments, interval, -1, BLOCK**2), sizes)
        yield _symbols_of(blocks, np.tile(tables, count * across), segments)


def _in_mcus(
    blocks: np.ndarray, first: int, count: int, across: int, high: int, wide: int
) -> np.ndarray:
    """Rows of MCUs of a component, of shape (MCUs, high * wide, 64).

    What fills MCUs up at the edges is outside of the picture: blocks of the same mean.
    """
    own = blocks[first * high : (first + count) * high]
    height, width = own.shape[:2]
    if (height, width) != (count * high, across * wide):
        whole = np.zeros((count * high, across * wide, BLOCK**2), np.int16)
        whole[:height, :width] = own
        whole[height:, :width, 0] = own[-1:, :, 0]
        whole[:, width:, 0] = whole[:, width - 1 : width, 0]
        own = whole
    mcus = own.reshape(count, high, across, wide, BLOCK**2).swapaxes(1, 2)
    return mcus.reshape(count * across, high * wide, BLOCK**2)


def _take_differences(segments: np.ndarray, sizes: Sequence[int]) -> None:
    """Puts differences in the place of DC coefficients.

    Args:
        segments: Of shape (segments, MCUs, blocks, 64).
        sizes: Of each component, blocks in an MCU.

    Raises:
        ValueError: If one is too large.
    """
    begin = 0
    for size in sizes:
        own = segments[:, :, begin : begin + size, 0]
        means = own.reshape(len(own), -1).astype(np.int32)
        differences = np.diff(means, axis=1, prepend=0)
        if np.abs(differences).max() >= 1 << _LARGEST_DC:
            raise ValueError("JPEG: a DC coefficient is out of range")
        segments[:, :, begin : begin + size, 0] = differences.reshape(own.shape)
        begin += size


def _symbols_of(blocks: np.ndarray, tables: np.ndarray, segments: int) -> Symbols:
    """Symbols of blocks in zigzag order, with differences as DC coefficients."""
    is_coded = blocks != 0
    is_coded[:, 0] = True
    places = np.flatnonzero(is_coded)
    values = blocks.reshape(-1).take(places)
    within = places.astype(np.uint8) & (BLOCK**2 - 1)
    firsts = np.flatnonzero(within == 0)
    lasts = np.append(firsts[1:], len(places)) - 1
    runs = np.empty_like(within)
    runs[1:] = within[1:] - within[:-1] - 1
    runs[firsts] = 0
    # Runs above 15 lose their upper bits: symbols for 16 zeros each stand for them.
    numbers = (runs << 4) | _SIZES.take(values.view(np.uint16))
    is_large = (numbers & 15) > _LARGEST_AC
    is_large[firsts] = False
    if is_large.any():
        raise ValueError("JPEG: a coefficient is out of range")
    numbers = numbers.astype(np.uint16)
    counts = lasts - firsts + 1
    own_tables = tables.astype(np.uint16) * SYMBOLS
    numbers += np.repeat(own_tables + SYMBOLS, counts)
    numbers[firsts] -= SYMBOLS
    none = np.uint16(TABLES * SYMBOLS)
    is_full = within[lasts] == BLOCK**2 - 1
    ends = np.where(is_full, none, own_tables + (SYMBOLS + _END))
    is_long = np.flatnonzero(runs > 15)
    if len(is_long):
        at = np.repeat(is_long, runs[is_long] >> 4)
        block = places[at] >> 6
        numbers = np.insert(numbers, at, own_tables[block] + (SYMBOLS + _ZEROS))
        values = np.insert(values, at, 0)
        added = np.cumsum(np.bincount(block, minlength=len(firsts)))
        lasts += added
        firsts[1:] += added[:-1]
    starts = firsts[:: len(firsts) // segments]
    return Symbols(numbers, values, lasts, ends, starts)
