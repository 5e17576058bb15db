"""Memory that packing takes does not grow with the data."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

CHILD = """
import resource, sys
from kerascale.datasets.packed import packing, sources
packing.pack(sources.open_source(sys.argv[1]), sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
WIDTH = 1024


def write(path, rows, compression):
    """Arrays of any size, which are never in memory."""
    labels = np.arange(rows) % 2
    block = np.random.default_rng(0).normal(size=(1000, WIDTH)).astype(np.float32)
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, WIDTH)}
            npy.write_array_header_1_0(file, header)
            for _ in range(rows // len(block)):
                file.write(block.data)
        with archive.open("y.npy", "w") as file:
            npy.write_array(file, labels)


def peak(tmp_path, rows, compression):
    """MiB that a packer of so many rows takes at most."""
    write(tmp_path / "x.npz", rows, compression)
    finished = subprocess.run(
        [sys.executable, "-c", CHILD, f"npz:{tmp_path}/x.npz", f"{tmp_path}/{rows}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(finished.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compression", "rows"),
    [(zipfile.ZIP_STORED, 500_000), (zipfile.ZIP_DEFLATED, 150_000)],
)
def test_two_gigabytes_take_no_more_memory_than_a_tenth_of_them(
    tmp_path, compression, rows
):
    small = peak(tmp_path, rows // 10, compression)
    large = peak(tmp_path, rows, compression)
    # Besides, some bytes for each row's label and split.
    assert large < small + 40
