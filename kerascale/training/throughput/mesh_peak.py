"""The most that the devices of a mesh compute: of one of them, times their number.

It is imported where Keras' backend is JAX.
"""

import time

import jax
from jax import numpy as jnp

from kerascale.strategies import mesh_peers, model_parallel
from kerascale.training.throughput import peak

# Of a chain of products that is measured on an accelerator.
_SIZE, _CHAIN = 8192, 4
_SECONDS = 1.0


def of_all_devices(dtype: str = "float32", *, again: bool = False) -> tuple[float, str]:
    """The peak of the mesh of this process, measured once and kept in the cache folder.

    The devices that a CPU stands for share its cores, which have the peak of a product
    on all of them, as one device has it: more devices do not raise it.

    Args:
        dtype: In which the model computes.
        again: Measure even if it is known.

    Returns:
        Floating-point operations per second of all devices together, and whose that
        is, for a person: `8 devices`; empty: one device's.
    """
    count = model_parallel.current().mesh.size
    if jax.devices()[0].platform == "cpu":
        processes = mesh_peers.here().count
        own = processes * peak.of_this_machine(dtype, again=again)
        shared = f"the cores that {count} devices share"
        return own, shared if count > processes else _several(count)
    device = jax.local_devices()[0]
    facts = [device.platform, device.device_kind, jax.__version__, dtype]
    one = peak.kept(facts, lambda: _measure(device, dtype), again=again)
    return count * one, _several(count)


def _several(count: int) -> str:
    return "" if count == 1 else f"{count} devices"


def _measure(device: jax.Device, dtype: str, size: int = _SIZE) -> float:
    """Operations per second of one device: the best of rounds over a second."""
    # Of such a size that products of products stay about as large.
    matrix = jax.random.normal(jax.random.key(0), (size, size)) * size**-0.5
    matrix = jax.device_put(matrix.astype(dtype), device)

    @jax.jit
    def chain(matrix: jax.Array) -> jax.Array:
        product = matrix
        for _ in range(_CHAIN):
            product = jnp.matmul(product, matrix)
        return product[0, 0]

    chain(matrix).block_until_ready()
    best, rounds, until = float("inf"), 0, time.monotonic() + _SECONDS
    while rounds < 3 or time.monotonic() < until:
        began = time.perf_counter()
        chain(matrix).block_until_ready()
        best = min(best, time.perf_counter() - began)
        rounds += 1
    return _CHAIN * 2.0 * size**3 / best
