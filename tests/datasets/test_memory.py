"""Data in memory: refused where it does not fit, worked on in parts."""

import gzip
import json
import os
import re
import time
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

import kerascale as ks
from kerascale.datasets import memory
from kerascale.datasets.sources import csv_source
from kerascale.datasets.sources.csv_source import load_csv
from kerascale.datasets.sources.npz_source import load_npz, read_features
from kerascale.runtime.free_memory import available_bytes, memory_room

GIB = 2**30


def test_data_that_does_not_fit_in_memory_is_refused(recipe, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.raises(ks.RefusedError, match=r"digits: expected data that fits"):
        ks.train(recipe, recipe.Config(pack="never"))


def test_moments_in_parts_equal_those_of_the_whole(monkeypatch):
    features = np.random.default_rng(0).normal(3, 2, (101, 4, 5)).astype("float32")
    monkeypatch.setattr(memory, "_PART_BYTES", 500)
    for per_feature, axes in ((True, (0, 1)), (False, None)):
        mean, variance = memory.moments(features, per_feature=per_feature)
        np.testing.assert_allclose(mean, features.mean(axes, dtype="float64"))
        np.testing.assert_allclose(variance, features.var(axes, dtype="float64"))


def huge(path, shape, dtype="float32"):
    """An .npz whose arrays are told of and not there."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, form in (("x", shape), ("y", shape[:1])):
            with archive.open(f"{name}.npy", "w") as file:
                descr = npy.dtype_to_descr(np.dtype(dtype if name == "x" else "int64"))
                header = {"descr": descr, "fortran_order": False, "shape": form}
                npy.write_array_header_1_0(file, header)
                file.write(b"0" * 64)
    return str(path)


def test_an_npz_that_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = huge(tmp_path / "huge.npz", (2**21, 1024))
    room = 24 * GIB
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    began = time.monotonic()
    with pytest.raises(
        ks.RefusedError,
        match=r"huge.npz: expected data that fits in memory. Received: examples that "
        r"need 24.5 GiB \(10.0 GiB to read them, 24.0 GiB split, resized and handed "
        r"to TensorFlow; 0.5 GiB for TensorFlow and the model\), where 24.0 GiB are "
        r"free. Take fewer or smaller examples .* kerascale pack",
    ):
        ks.datasets.read(f"npz:{path}")
    assert time.monotonic() - began < 5
    # Enough by the estimate: it is read, and what is wrong with it is told.
    room = 25 * GIB
    with pytest.raises(ks.RefusedError, match=r"the array 'x'. Received: damaged"):
        load_npz(path)
    # A prediction does not split.
    room = 16 * GIB
    with pytest.raises(ks.RefusedError, match=r"need 16.5 GiB \(10.0 GiB to read"):
        read_features(path, "vector", (1024,))


@pytest.mark.parametrize(
    ("dtype", "shape", "image_size", "to_read", "to_prepare"),
    [
        ("float64", (2**17, 1024), None, 1.625, 1.5),  # Of which a copy is made.
        ("uint8", (2**15, 64, 256), None, 0.5, 1.5),
        ("int64", (2**15, 64, 256), None, 4.5, 1.5),
        ("uint8", (2**15, 128, 128), 64, 0.5, 1.3),
        ("uint8", (2**15, 128, 128), 256, 0.5, 5.1),
        ("<U100", (2**22,), None, 2.2, 3.0),
    ],
)
def test_what_is_needed(
    tmp_path, monkeypatch, dtype, shape, image_size, to_read, to_prepare
):
    path = huge(tmp_path / "huge.npz", shape, dtype)
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    with pytest.raises(ks.RefusedError, match="fits in memory") as caught:
        load_npz(path, image_size=image_size)
    assert f"({to_read:.1f} GiB to read them, {to_prepare:.1f} GiB" in str(caught.value)


def needed_for(path, room, monkeypatch, columns):
    """What a CSV file to predict from is refused with."""
    monkeypatch.setattr(memory, "available_bytes", lambda: room)
    with pytest.raises(ks.RefusedError, match="fits in memory") as caught:
        csv_source.read_features(path, "vector", columns)
    return str(caught.value)


def test_a_csv_that_does_not_fit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.csv"
    row = ",".join(["0.12345678"] * 63)
    path.write_text(",".join(f"c{i}" for i in range(63)) + ",y\n" + f"{row},1\n" * 2000)
    os.truncate(path, 24 * GIB)  # All that follows is told of and not there.
    began = time.monotonic()
    names = [f"c{i}" for i in range(63)]
    said = needed_for(str(path), 60 * GIB, monkeypatch, names)
    assert time.monotonic() - began < 5
    # Each of 64 cells has its 11 characters and 20 bytes; no copy is larger.
    assert re.search(
        r"huge.csv: expected .* need 68.\d GiB \(68.\d GiB to read them, 17.\d GiB "
        r"split, .* where 60.0 GiB are free",
        said,
    ), said
    # Without most of its columns less is handed on.
    few = needed_for(str(path), GIB, monkeypatch, ("c0", "c1"))
    assert re.search(r"0\.[56] GiB split", few), few


def test_a_csv_to_train_on_is_refused_by_its_first_rows(tmp_path, monkeypatch):
    path = tmp_path / "huge.csv"
    row = ",".join(["0.12345678"] * 63)
    rows = "".join(f"{row},{i % 2}\n" for i in range(4000))
    path.write_text(",".join(f"c{i}" for i in range(63)) + ",y\n" + rows)
    os.truncate(path, 24 * GIB)
    monkeypatch.setattr(memory, "available_bytes", lambda: 4 * GIB)
    began = time.monotonic()
    with pytest.raises(ks.RefusedError, match=r"huge\.csv: expected data that fits in"):
        load_csv(str(path), "y")
    assert time.monotonic() - began < 5


def test_a_compressed_csv_is_taken_for_what_is_in_it(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    lines = [f"{a:.9f},{a % 7:.0f}" for a in random.normal(50, 9, 150_000)]
    text = "a,y\n" + "\n".join(lines)
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode(), 1))
    monkeypatch.setattr(memory, "_GIB", 2**20)  # It has 2 MB: MiB are told.
    plain, packed = (
        float(re.search(r"\(([\d.]+) GiB to", said)[1])
        for name in ("t.csv", "t.csv.gz")
        for said in [needed_for(str(tmp_path / name), 2**20, monkeypatch, ("a",))]
    )
    assert 5 < plain < 10
    assert packed == pytest.approx(plain, rel=0.1)


_PEAK = """
import json, sys
import numpy as np
import kerascale as ks

def peak():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024

x = np.ones(json.loads(sys.argv[1]), sys.argv[2])
np.savez("x.npz", x=x, y=np.arange(2000) % 9)
del x
ks.datasets.prepare  # Everything is imported.
recipe = ks.load_recipe("cnn" if sys.argv[2] == "uint8" else "mlp")
size = {"image_size": 96} if sys.argv[2] == "uint8" else {}
before = peak()
data = recipe.make_datasets(recipe.Config(dataset="npz:x.npz", **size))
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("shape", "dtype", "needed"),
    [((2000, 16_000), "float32", 3 * 128e6), ((2000, 128, 128, 3), "uint8", 330e6)],
)
def test_what_is_needed_is_what_is_taken(run_python, tmp_path, shape, dtype, needed):
    """The estimate stands against the peak of a process."""
    done = run_python(_PEAK, json.dumps(shape), dtype, cwd=tmp_path, imported=True)
    taken = int(done.stdout.split()[-1])
    assert 0.6 * needed < taken < 1.1 * needed


_PEAK_OF_CSV = """
import os, sys
from kerascale.datasets import memory
from kerascale.datasets.sources import csv_source

def peak():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024

needed = []
memory.refuse_too_much = lambda name, to_read, to_prepare: needed.append(to_read)
kind, *names = sys.argv[1:]
csv_source.read_features("small.csv", kind, names)  # Everything is imported.
before = peak()
csv_source.read_features("large.csv", kind, names)
print(needed[-1], peak() - before)
"""


@pytest.mark.slow  # Files large enough that a process's own memory does not count.
@pytest.mark.parametrize("cell", ["{0}", "{0:.12f}", "the word {0} stands here"])
def test_what_a_csv_takes_is_estimated(run_python, tmp_path, cell):
    columns = 1 if " " in cell else 64
    count = 64 * 10_000 // columns
    header = ",".join(f"c{i}" for i in range(columns)) + ",y\n"
    for name, rows in (("small", 100), ("large", count)):
        with (tmp_path / f"{name}.csv").open("w") as file:
            file.write(header)
            for i in range(rows):
                cells = [cell.format((i * 37 + k) % 997 + i) for k in range(columns)]
                file.write(",".join(cells) + f",{i % 3}\n")
    kind, names = "text" if columns == 1 else "vector", header.split(",")[:columns]
    done = run_python(_PEAK_OF_CSV, kind, *names, cwd=tmp_path, imported=True)
    needed, taken = map(int, done.stdout.split()[-2:])
    assert 0.6 * needed < taken < 1.1 * needed


@pytest.fixture
def groups(tmp_path):
    """Control groups of version 1 or 2, and a system with 8 GiB free."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 99 kB\nMemAvailable: {8 * 2**20} kB\n")

    def make(files, own):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "own").write_text(own)
        return tmp_path, tmp_path / "own"

    make.meminfo = meminfo
    return make


@pytest.mark.parametrize(
    ("files", "own", "limit", "left"),
    [
        ({}, "", None, 8),
        ({"memory.max": "max\n", "memory.stat": f"anon {GIB}\n"}, "0::/\n", None, 8),
        (
            {
                "memory.max": f"{4 * GIB}\n",
                "memory.stat": f"anon {GIB}\nfile {3 * GIB}\nshmem {GIB}\n",
            },
            "0::/\n",
            4,
            2,
        ),
        (  # Inside of another, which has less left.
            {
                "pod/box/memory.max": f"{4 * GIB}\n",
                "pod/box/memory.stat": f"anon {GIB}\n",
                "pod/memory.max": f"{5 * GIB}\n",
                "pod/memory.stat": f"anon {4 * GIB}\n",
            },
            "0::/pod/box\n",
            5,
            1,
        ),
        (  # Version 1; the folder of the path is there.
            {
                "memory/docker/a/memory.limit_in_bytes": f"{3 * GIB}\n",
                "memory/docker/a/memory.stat": f"rss 1\ntotal_rss {GIB}\n",
                "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
                "memory/memory.stat": "total_rss 0\n",
            },
            "4:memory:/docker/a\n1:cpu:/\n0::/\n",
            3,
            2,
        ),
        (  # Version 1 in a container, where the path is the host's.
            {
                "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
                "memory/memory.stat": f"total_rss {GIB}\n",
            },
            "4:memory:/docker/a\n",
            2,
            1,
        ),
    ],
)
def test_free_memory_is_that_of_the_container(groups, files, own, limit, left):
    places = groups(files, own)
    room = None if limit is None else (limit * GIB, left * GIB)
    assert memory_room(*places) == room
    assert available_bytes(*places, meminfo=groups.meminfo) == left * GIB


def test_little_data_is_not_to_blame(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    memory.refuse_too_much("little", 0, 2**19)
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**28)
    with pytest.raises(ks.RefusedError, match=r"need 0.6 GiB more \(0.1 GiB split"):
        memory.refuse_too_much("more", 0, 2**27)
