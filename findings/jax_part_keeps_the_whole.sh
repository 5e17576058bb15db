#!/usr/bin/env bash
# jax 0.10.2, jaxlib 0.10.2, numpy 2.4.6
#
# `jax.make_array_from_callback` on CPU devices, with a callback that returns slices of a
# NumPy array, as its documentation does: where the array's memory begins at a multiple
# of 64 bytes, a shard is that memory, not a copy of it. So one shard of an eighth, the
# rest of the JAX array being gone, keeps all of the NumPy array in memory. A process of
# several that has an eighth of a model's weights holds all of them; 16 bytes further,
# where large arrays of NumPy often begin, it holds an eighth. `device_put` of the whole
# does the same. Slices that are copied do not.
#
# Seen: the array is still there with slices and aligned memory alone.

set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python=${FINDINGS_PYTHON:-}
if [[ -z $python ]]; then
  python3 -m venv venv
  python=$folder/venv/bin/python
  "$python" -m pip install -q --disable-pip-version-check \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
fi

cat > program.py <<'PROGRAM'
import gc
import sys
import weakref

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SIZE = 2**22
layout = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))


def is_whole_there(offset, is_copied):
    """Whether an array lives on while one part of eight is held."""
    memory = np.zeros(SIZE + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    host = memory[begin : begin + SIZE].view(np.float32)

    def part_of(index):
        return host[index].copy() if is_copied else host[index]

    made = jax.make_array_from_callback(host.shape, layout, part_of)
    held = made.addressable_shards[3].data
    held.block_until_ready()
    whole = weakref.ref(memory)
    del made, host, memory, part_of
    gc.collect()
    assert held.nbytes == SIZE // 8
    return whole() is not None


found = {
    f"{what}, {where}": is_whole_there(offset, what == "copies")
    for what in ("slices", "copies")
    for where, offset in (("aligned", 0), ("16 bytes further", 16))
}
for case, there in found.items():
    print(f"{case}: the whole array is {'still there' if there else 'gone'}")
if [case for case, there in found.items() if there] != ["slices, aligned"]:
    sys.exit("CHANGED: expected it to be there for slices of aligned memory alone")
PROGRAM

XLA_FLAGS=--xla_force_host_platform_device_count=8 JAX_PLATFORMS=cpu \
  "$python" program.py 2> /dev/null
