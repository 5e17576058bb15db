"""What has to be set in a process before TensorFlow is imported in it.

`import kerascale` sets it, because little later is early enough: TensorFlow reads its
flags for XLA and for its allocator before the first operation. Where TensorFlow is
there already nothing is set; what a user has set is left as it is.

`TF_ENABLE_ONEDNN_OPTS`, which is read while TensorFlow is imported, is a user's own to
set. On processors with AVX2 and no AVX-512 it makes convolutions faster, and there a
convolutional network that is interrupted and goes on with it has not the bits of one
that was not.
"""

import functools
import os
import pathlib
import platform
import sys
from collections.abc import Mapping, MutableMapping

from kerascale.runtime import allocator, host, xla_cache

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


def prepare(environ: MutableMapping[str, str] = os.environ) -> None:
    """Sets what is faster on this machine, for this process and its children.

    Args:
        environ: Environment variables.
    """
    if "tensorflow" in sys.modules or has_gpu(environ):
        return
    xla_cache.announce(environ)
    allocator.keep_memory(environ)


def gains_by_onednn(flags: frozenset[str]) -> bool:
    """Whether TensorFlow's oneDNN kernels are faster on a processor.

    Measured with AVX2 and no AVX-512: convolutions, products in a loop and LSTMs gain
    10 to 50 %, what XLA compiles neither gains nor loses.

    Args:
        flags: Of the processor, as `/proc/cpuinfo` names them.
    """
    return platform.machine() in ("x86_64", "AMD64") and {"avx2", "fma"} <= flags


@functools.cache
def cpu_flags() -> frozenset[str]:
    """The features of this machine's processor; empty where Linux does not tell."""
    for line in host.cpuinfo().splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_gpu(
    environ: Mapping[str, str] = os.environ,
    devices: pathlib.Path = pathlib.Path("/dev"),
) -> bool:
    """Whether TensorFlow may compute on a GPU here.

    Args:
        environ: Environment variables.
        devices: The folder of device files.
    """
    # CUDA sees none from the first number on that cannot exist.
    if not environ.get("CUDA_VISIBLE_DEVICES", "0").strip()[:1].isalnum():
        return False
    names = ("nvidia[0-9]*", "kfd")  # kfd: AMD's.
    return any(next(devices.glob(name), None) is not None for name in names)
