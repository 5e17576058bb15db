"""Flat files of a packed data set, compared with their checksums while it is used.

Records of ArrayRecord are compared by who reads them. Rows of a mapped file are not: a
bit that changed on the disk would be trained on.
"""

import math
import os
import threading
import time
from collections.abc import Iterator

import google_crc32c
import numpy as np

from kerascale.datasets.host_rows import RowError
from kerascale.datasets.packed import checking, checksums, layout
from kerascale.datasets.packed.opened import Packed
from kerascale.runtime.console import say

# Of the time, and so of a core and of a disk at most.
SHARE = 0.01


class BlockCheck:
    """Reads each block of the flat files once, in a thread, from a random one on.

    Args:
        packed: The data set.
    """

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._todo = self._blocks()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._fault: str | None = None
        self.is_finished = False

    def start(self) -> None:
        """Begins, or goes on."""
        is_running = self._thread is not None and self._thread.is_alive()
        if is_running or self.is_finished:
            return
        self._end.clear()
        self._thread = threading.Thread(
            target=self._run, name="kerascale-block-check", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; `start` goes on."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def raise_fault(self) -> None:
        """Says what was found by now.

        Raises:
            RowError: With the file, the block and its rows.
        """
        if self._fault is not None:
            raise RowError(self._fault)

    def _run(self) -> None:
        buffer = np.empty(layout.BLOCK_BYTES, np.uint8)
        while not self._end.is_set():
            began = time.perf_counter()
            block = next(self._todo, None)
            if block is None:
                self.is_finished = True
                return
            name, number, size, expected = block
            if self._sum(name, number, size, buffer) != expected:
                self._fault = self._text(name, number)
                self.is_finished = True
                return
            took = time.perf_counter() - began
            self._end.wait(took * (1 / SHARE - 1))

    def _blocks(self) -> Iterator[tuple[str, int, int, int]]:
        """File, number, bytes and checksum of each block, small files first."""
        folder, held = self._packed.folder, self._packed.manifest
        flat = {layout.FEATURES, layout.LABELS}
        flat |= {layout.INDEX.format(split=split) for split in layout.SPLITS}
        sizes = {name: size for name, size in held.sizes.items() if name in flat}
        # Where it begins is no part of a training: not its generator.
        generator = np.random.default_rng()
        for name in sorted(sizes, key=sizes.__getitem__):
            count = math.ceil(sizes[name] / layout.BLOCK_BYTES)
            try:
                sums = np.fromfile(checksums.path_of(folder / name), checksums.CRC)
            except OSError:
                sums = np.empty(0, checksums.CRC)
            if len(sums) != count:
                path = checksums.path_of(folder / name)
                say(f"data: {folder / name} is not checked: no checksums in {path}")
                continue
            first = int(generator.integers(max(1, count)))
            for number in (*range(first, count), *range(first)):
                begin = number * layout.BLOCK_BYTES
                size = min(layout.BLOCK_BYTES, sizes[name] - begin)
                yield name, number, size, int(sums[number])

    def _sum(self, name: str, number: int, size: int, buffer: np.ndarray) -> int | None:
        """The checksum of a block as it is; None: it cannot be read."""
        part, begin = buffer[:size], number * layout.BLOCK_BYTES
        try:
            descriptor = os.open(self._packed.folder / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                read = os.preadv(descriptor, [part], begin)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        return google_crc32c.value(part) if read == size else None

    def _text(self, name: str, number: int) -> str:
        folder, held = self._packed.folder, self._packed.manifest
        faults = checking.faults_of(folder, held, name, [number], held.sizes[name])
        found = "; ".join(map(str, faults))
        return (
            f"{self._packed.name}: expected files as they were packed. Received: "
            f"{found} (block {number:,} of 1 MiB). See all that are: kerascale pack "
            f"--check {folder}. Copy the data set again, or pack its source again."
        )
