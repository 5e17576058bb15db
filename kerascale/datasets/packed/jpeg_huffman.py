"""Huffman tables for the symbols of a JPEG: the shortest codes of at most 16 bits.

ITU-T T.81, K.2, with two queues instead of searches (van Leeuwen, 1976). The code of
ones alone is kept free, as the standard asks.
"""

from typing import NamedTuple

import numpy as np

_SYMBOLS = 256
_LONGEST = 16
# No tree of fewer than 2^40 symbols is deeper.
_DEEPEST = 64


class Table(NamedTuple):
    """A Huffman table.

    Args:
        counts: Codes of each length, from 1 bit to 16.
        symbols: In the order of their codes.
        codes: uint64 of shape (256,): the code of each symbol.
        lengths: uint8 of shape (256,): its bits; 0: it has none.
    """

    counts: bytes
    symbols: bytes
    codes: np.ndarray
    lengths: np.ndarray


def best_table(frequencies: np.ndarray) -> Table:
    """The table with which symbols of these frequencies take the fewest bits.

    Args:
        frequencies: Integers of shape (256,); of at least one symbol not 0.
    """
    present = np.flatnonzero(frequencies)
    # The most frequent first; of equal ones the smaller symbol.
    symbols = present[np.argsort(-frequencies[present], kind="stable")].tolist()
    # One more, the least frequent of all, takes the code of ones alone.
    weights = [1, *(int(frequencies[symbol]) for symbol in reversed(symbols))]
    counts = _limited(_lengths(weights))
    counts[max(length for length in range(_LONGEST + 1) if counts[length])] -= 1
    codes = np.zeros(_SYMBOLS, np.uint64)
    lengths = np.zeros(_SYMBOLS, np.uint8)
    code = place = 0
    for length in range(1, _LONGEST + 1):
        for symbol in symbols[place : place + counts[length]]:
            codes[symbol], lengths[symbol] = code, length
            code += 1
        place += counts[length]
        code <<= 1
    return Table(bytes(counts[1:]), bytes(symbols), codes, lengths)


def _lengths(weights: list[int]) -> list[int]:
    """How many codes of each length Huffman's tree has.

    Args:
        weights: In ascending order; at least two.
    """
    count = len(weights)
    parents = [0] * (2 * count - 1)
    leaf, node = 0, count
    for made in range(count, 2 * count - 1):
        total = 0
        for _ in range(2):
            if leaf < count and (node == made or weights[leaf] <= weights[node]):
                least, leaf = leaf, leaf + 1
            else:
                least, node = node, node + 1
            parents[least] = made
            total += weights[least]
        weights.append(total)
    depths = [0] * (2 * count - 1)
    counts = [0] * _DEEPEST
    for place in range(2 * count - 3, -1, -1):
        depths[place] = depths[parents[place]] + 1
        if place < count:
            counts[depths[place]] += 1
    return counts


def _limited(counts: list[int]) -> list[int]:
    """Lengths of at most 16 bits instead (T.81, figure K.3)."""
    for length in range(len(counts) - 1, _LONGEST, -1):
        while counts[length]:
            shorter = length - 2
            while not counts[shorter]:
                shorter -= 1
            counts[length] -= 2
            counts[length - 1] += 1
            counts[shorter + 1] += 2
            counts[shorter] -= 1
    return counts[: _LONGEST + 1]
