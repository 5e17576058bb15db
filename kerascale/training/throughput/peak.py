"""The most that this machine computes: measured by a matrix product, and kept."""

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kerascale.runtime import atomic_files
from kerascale.runtime.cache_dir import cache_dir
from kerascale.runtime.host import cpu_model, usable_cores

_FOLDER = "peaks"
_SECONDS = 1.0
# Large enough that a product takes longer than to begin one.
_SIZE = 1024
_SIZE_ON_GPU = 8192
_CHAIN = 4
# What changes how many threads compute.
_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES")


def of_this_machine(dtype: str = "float32", *, again: bool = False) -> float:
    """Floating-point operations per second of one device, by a product of matrices.

    It is measured once, which takes about a second, and kept in the cache folder for
    the same processor or GPU, threads and version of TensorFlow.

    Args:
        dtype: Of the matrices.
        again: Measure even if it is known.

    Returns:
        The best of what was measured; a product of n x n matrices counts 2 n^3. Of a
        host without a GPU that of all its threads, else that of one GPU.
    """
    return kept(_facts(dtype), lambda: measure(dtype, seconds=_SECONDS), again=again)


def kept(
    facts: Sequence[Any], measured: Callable[[], float], *, again: bool = False
) -> float:
    """A peak from the cache folder, or measured and put there.

    Args:
        facts: What it depends on.
        measured: Measures it, in floating-point operations per second.
        again: Measure even if it is known.
    """
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
    path = cache_dir() / _FOLDER / f"{key[:32]}.json"
    if not again:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = float(json.loads(path.read_text())["flops_per_second"])
            if known > 0:
                return known
    peak = measured()
    with contextlib.suppress(OSError):  # A cache that cannot be written: again then.
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.replacing(path, shared=True) as temporary:
            temporary.write_text(json.dumps({"flops_per_second": peak}))
    return peak


def measure(dtype: str = "float32", *, seconds: float = _SECONDS) -> float:
    """Measures what `of_this_machine` keeps: the best of rounds over some time."""
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    size = _SIZE_ON_GPU if on_gpu else _SIZE
    with tf.device("GPU:0" if on_gpu else "CPU:0"):
        # Of such a size that products of products stay about as large.
        matrix = tf.cast(tf.random.stateless_normal([size, size], [0, 0]), dtype)
        matrix = matrix * tf.cast(size**-0.5, dtype)

        @tf.function(autograph=False)
        def chain(matrix: tf.Tensor) -> tf.Tensor:
            product = matrix
            for _ in range(_CHAIN):
                product = tf.matmul(product, matrix)
            return product[0, 0]

        chain(matrix).numpy()
        best = float("inf")
        until = time.monotonic() + seconds
        rounds = 0
        while rounds < 3 or time.monotonic() < until:
            began = time.perf_counter()
            chain(matrix).numpy()  # It is over when its result is there.
            best = min(best, time.perf_counter() - began)
            rounds += 1
    return _CHAIN * 2.0 * size**3 / best


def _facts(dtype: str) -> list[Any]:
    processor = cpu_model() or platform.processor()
    gpus = [
        tf.config.experimental.get_device_details(device)
        for device in tf.config.list_physical_devices("GPU")
    ]
    return [
        processor,
        usable_cores(),
        tf.config.threading.get_intra_op_parallelism_threads(),
        [os.environ.get(name) for name in _VARIABLES],
        gpus,
        tf.__version__,
        dtype,
    ]
