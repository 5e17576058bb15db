"""What XLA has compiled for a mesh, for the next process."""

import importlib.metadata

import jax

from kerascale.engine.compat import jax_private
from kerascale.runtime import program_store


def find() -> None:
    """Before anything is compiled: programs of processes before this one are found.

    JAX knows one by its whole text, its options, the devices and the version; they lie
    apart for each type of machine. What is found is what would be compiled, bit by bit.
    """
    facts = [jax.__version__, importlib.metadata.version("jaxlib")]
    folder = program_store.folder_of("mesh-programs", facts)
    jax_private.keep_programs(program_store.ProgramStore(folder))
