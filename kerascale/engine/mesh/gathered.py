"""Variables that are cut over processes: put together, or as far as one has them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import keras
import numpy as np

from kerascale.engine import state
from kerascale.engine.compat import keras_jax
from kerascale.engine.mesh import exchange, served
from kerascale.runtime.array_parts import ArrayParts, Piece
from kerascale.strategies import mesh_peers

# By id of a variable that is on the host for a while: its layout, and how it lay.
_on_host: dict[int, tuple[jax.sharding.Sharding, jax.Array, Any]] = {}
# In which the first process reads.
_section: served.Section | None = None


def array(variable: keras.Variable) -> np.ndarray:
    """All of a variable."""
    (value,) = keras_jax.values_of([variable])
    if isinstance(value, served.Readable):
        return np.asarray(value)
    return exchange.whole(value)


def are_cut(variables: Sequence[keras.Variable]) -> bool:
    """Whether the first process lacks a part of any; each says the same."""
    return any(_is_cut(*_lies(variable)) for variable in variables)


def parts(variable: keras.Variable) -> ArrayParts | None:
    """The blocks of a variable that this process saves; None: the first has all.

    What several devices have is saved by the process of the first of them.
    """
    layout, value = _lies(variable)
    if not _is_cut(layout, value):
        return None
    shape = tuple(value.shape)
    own = {s.device: s.data for s in getattr(value, "addressable_shards", ())}
    pieces = []
    for device, index in _owners(layout, shape):
        if device.process_index != jax.process_index():
            continue
        is_laid = value.sharding == layout
        block = np.asarray(own[device]) if is_laid else np.asarray(value)[index]
        start = tuple(s.indices(n)[0] for s, n in zip(index, shape, strict=True))
        pieces.append(Piece(start, block))
    return ArrayParts(shape, np.dtype(value.dtype), tuple(pieces))


def _lies(variable: keras.Variable) -> tuple[jax.sharding.Sharding, jax.Array]:
    """How a variable is cut, and its value, which may be on the host for a while."""
    (value,) = keras_jax.values_of([variable])
    if id(variable) not in _on_host:
        return value.sharding, value
    layout, before, copy = _on_host[id(variable)]
    return layout, before if value is copy else value


def _is_cut(layout: jax.sharding.Sharding, value: jax.Array) -> bool:
    if layout.is_fully_addressable or layout.is_fully_replicated:
        return False
    return any(d.process_index for d, _ in _owners(layout, tuple(value.shape)))


def _owners(
    layout: jax.sharding.Sharding, shape: tuple[int, ...]
) -> list[tuple[jax.Device, tuple[slice, ...]]]:
    """The first device that has each block, and the block."""
    found = {}
    for device, index in layout.devices_indices_map(shape).items():
        key = tuple(s.indices(n)[:2] for s, n in zip(index, shape, strict=True))
        found.setdefault(key, (device, index))
    return list(found.values())


def end_reading() -> None:
    """Nothing more is read in an `on_host` that is for the first process alone."""
    if _section is not None and mesh_peers.here().index == 0:
        _section.done()


@contextlib.contextmanager
def on_host(model: keras.Model, *, by_all: bool = True) -> Iterator[None]:
    """See `engine.collectives.whole.on_host`."""
    global _section
    variables = state.variables(model)
    host = jax.local_devices(backend="cpu")[0]
    rest, cut = [], []
    for variable, value in zip(variables, keras_jax.values_of(variables), strict=True):
        if not by_all and are_cut([variable]):
            cut.append((variable, value))
        elif not value.is_fully_addressable:
            copy = jax.device_put(exchange.whole(value), host)
            rest.append((variable, value, copy))
    before = [(v, value, keras_jax.layout_of(v), copy) for v, value, copy in rest]
    is_first = mesh_peers.here().index == 0
    section = None if by_all else served.Section([value for _, value in cut])
    if section is not None and is_first:
        for (variable, value), copy in zip(cut, section.readable(), strict=True):
            before.append((variable, value, keras_jax.layout_of(variable), copy))
    for variable, value, _, copy in before:
        _on_host[id(variable)] = (value.sharding, value, copy)
        keras_jax.lay(variable, copy, None)
    _section = section
    try:
        if section is not None and not is_first:
            section.serve()
        yield
    finally:
        end_reading()
        _section = None
        for variable, value, layout, copy in before:
            del _on_host[id(variable)]
            (now,) = keras_jax.values_of([variable])
            is_kept = now is copy or isinstance(copy, served.Readable)
            kept = value if is_kept else keras_jax.put(now, layout)
            keras_jax.lay(variable, kept, layout)
