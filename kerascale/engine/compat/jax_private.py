"""Private names of JAX by which compiled programs are kept, with their guard.

Those of processes are in `jax_processes`. It is imported where Keras' backend is JAX.
"""

import pathlib
from typing import Protocol

import jax
from jax._src import compilation_cache
from jax._src.compilation_cache_interface import CacheInterface

# Guarded by tests/engine/mesh/test_mesh_programs.py


class Store(Protocol):
    """Where compiled programs are kept."""

    folder: pathlib.Path

    def get(self, key: str) -> bytes | None:
        """A program; None: it is not there."""

    def put(self, key: str, content: bytes) -> None:
        """Keeps one."""


class _Cache(CacheInterface):
    """A store, as JAX asks for it: its own writes files that a kill leaves half."""

    def __init__(self, store: Store) -> None:
        self._path = store.folder
        self._store = store

    def get(self, key: str) -> bytes | None:
        return self._store.get(key)

    def put(self, key: str, value: bytes) -> None:
        self._store.put(key, value)


def keep_programs(store: Store) -> bool:
    """JAX looks for what it has compiled in a store, by the program's whole text.

    Nothing changes where a user has chosen a folder (`JAX_COMPILATION_CACHE_DIR`), has
    turned keeping off (`JAX_ENABLE_COMPILATION_CACHE=0`), or it is done already.

    Args:
        store: Where.

    Returns:
        Whether it does now.
    """
    if (
        jax.config.jax_compilation_cache_dir is not None
        or not jax.config.jax_enable_compilation_cache
        or compilation_cache._cache is not None
    ):
        return False
    # Those that are compiled soon are many.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    compilation_cache._cache = _Cache(store)
    return True
