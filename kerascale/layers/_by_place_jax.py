"""The random numbers of `_by_place`, bit by bit, where Keras' backend is JAX.

A program of JAX sees the global batch, so that a row's place is its number.
"""

import math
from typing import Any

import jax
import keras
from jax import numpy as jnp

# Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": factors, and what
# is added to the key in each of ten rounds.
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_KEYS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_PER_BLOCK = 4


def uniform(shape: tuple[int, ...], seed: Any, draw: Any) -> jax.Array:
    """Uniform numbers in [0, 1), float32, of which each row knows its place.

    Args:
        shape: Its first entry is that of examples.
        seed: uint32 scalar.
        draw: uint32 scalar: which of the layer's draws this is.
    """
    rows, width = shape[0], math.prod(shape[1:])
    # Whole blocks for each row, so that a row begins at a known one.
    blocks = -(-width // _PER_BLOCK)
    row = jax.lax.broadcasted_iota(jnp.uint32, (rows, blocks), 0)
    column = jax.lax.broadcasted_iota(jnp.uint32, (rows, blocks), 1)
    high, low = _product(row, blocks)
    place = low + column
    high = high + (place < low).astype(jnp.uint32)
    zeros = jnp.zeros_like(place)
    counter = (place, high, zeros + draw.astype(jnp.uint32), zeros)
    words = _philox(counter, (zeros + seed.astype(jnp.uint32), zeros))
    bits = jnp.stack(words, axis=-1).reshape(rows, blocks * _PER_BLOCK)[:, :width]
    return (bits >> 8).astype(jnp.float32).reshape(shape) * 2.0**-24


def normal(shape: tuple[int, ...], seed: Any, draw: Any, dtype: str) -> jax.Array:
    """Numbers of the standard normal distribution, of which each row knows its place.

    Box and Muller 1958, as in `_by_place`; equal to it but for rounding.

    Args:
        shape: Its first entry is that of examples.
        seed: uint32 scalar.
        draw: uint32 scalar: which of the layer's draws this is.
        dtype: float32 or float64.
    """
    width = math.prod(shape[1:])
    half = (width + 1) // 2
    pairs = keras.ops.cast(uniform((shape[0], 2, half), seed, draw), dtype)
    first, second = pairs[:, 0], pairs[:, 1]
    radius = jnp.sqrt(-2.0 * jnp.log(1.0 - first))
    angle = second * (2.0 * math.pi)
    both = jnp.concatenate([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=1)
    return both[:, :width].reshape(shape)


def _philox(counter: tuple[Any, ...], key: tuple[Any, Any]) -> tuple[Any, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _product(c0, _FACTORS[0])
        high1, low1 = _product(c2, _FACTORS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + jnp.uint32(_KEYS[0]), k1 + jnp.uint32(_KEYS[1])
    return c0, c1, c2, c3


def _product(a: jax.Array, factor: int) -> tuple[jax.Array, jax.Array]:
    """The high and the low word of a product of 32-bit integers."""
    with jax.enable_x64(True):
        product = a.astype(jnp.uint64) * jnp.uint64(factor)
        high = (product >> jnp.uint64(32)).astype(jnp.uint32)
        return high, product.astype(jnp.uint32)
