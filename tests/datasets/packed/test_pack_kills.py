"""A packer that is killed at random goes on to the same files as one that is not."""

import io
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.packed import assert_same, records, sums
from PIL import Image

from kerascale.datasets import reading
from kerascale.datasets.packed import layout, manifest

# Packs by itself, without TensorFlow, and dies at a call that brings something onto the
# disk or gives it its name. Each is called many times.
CHILD = """
import os, signal, sys

name, folder, calls, jobs = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
seen = 0

def dying(function):
    def call(*arguments, **keywords):
        global seen
        seen += 1
        if seen == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **keywords)
    return call

for call in ("fsync", "replace", "unlink"):
    setattr(os, call, dying(getattr(os, call)))

from kerascale.datasets.packed import finishing, packing, shards, sources
from kerascale.datasets.packed.sources import images
from kerascale.datasets.sources import npz_members

packing.SYNC_SECONDS = finishing.SYNC_SECONDS = 0.0
shards.SHARD_BYTES = 40_000
images._FILES = 8
npz_members._BLOCK_BYTES = 3000
markers = name.endswith("jpegs")
how = sources.SourceOptions(jpeg_restart_markers=markers, jobs=jobs)
packing.pack(sources.open_source(name, how), folder, options=how.of_rows())
assert "tensorflow" not in sys.modules
print(seen)
"""


_SLOW = pytest.mark.slow


@pytest.fixture(
    params=[
        "images",
        pytest.param("npz", marks=_SLOW),
        pytest.param("jpegs", marks=_SLOW),
    ]
)
def source(request, tmp_path):
    generator = np.random.default_rng(0)
    if request.param == "jpegs":
        return _jpegs(tmp_path, generator)
    if request.param == "npz":
        x = generator.normal(size=(2000, 5)).astype(np.float32)
        np.savez_compressed(tmp_path / "x.npz", x=x, y=np.arange(2000) % 3)
        return f"npz:{tmp_path / 'x.npz'}"
    for i in range(120):
        content = io.BytesIO()
        pixels = generator.integers(0, 256, (20, 20 + i % 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(content, "PNG")
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
    return f"images:{tmp_path / 'pictures'}"


def _jpegs(tmp_path, generator):
    """Pictures that get restart markers; some are progressive."""
    for i in range(240):
        small = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((128 + i % 9, 96), Image.BICUBIC)
        path = tmp_path / "jpegs" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "JPEG", quality=90 + i % 5, progressive=i % 7 == 0)
    return f"images:{tmp_path / 'jpegs'}"


def _command(source, folder, calls=0, jobs=2):
    return [sys.executable, "-c", CHILD, source, str(folder), str(calls), str(jobs)]


def start(source, folder, calls):
    return subprocess.run(
        _command(source, folder, calls),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_packer_that_is_killed_five_times(source, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    undisturbed = start(source, whole, 0)
    assert undisturbed.returncode == 0, undisturbed.stderr
    total = int(undisturbed.stdout)
    generator = random.Random(total)
    for _ in range(5):
        killed = start(source, parts, generator.randint(2, total // 6))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (parts / layout.MANIFEST).exists()
    finished = start(source, parts, 0)
    assert finished.returncode == 0, finished.stderr
    assert sums(parts) == sums(whole)
    assert manifest.load(parts) == manifest.load(whole)
    if source.startswith("npz:"):
        assert_same(parts, reading.read(source))


@pytest.mark.slow
def test_a_packer_that_is_killed_everywhere(source, tmp_path):
    """At calls from the first to the last, and soon again when it goes on."""
    whole = tmp_path / "whole"
    total = int(start(source, whole, 0).stdout)
    for calls in range(1, total + 1, 13):
        parts = tmp_path / f"parts{calls}"
        assert start(source, parts, calls).returncode == -signal.SIGKILL
        start(source, parts, 1 + calls % 7)
        assert start(source, parts, 0).returncode == 0
        assert sums(parts) == sums(whole), calls


@pytest.mark.slow
def test_jpegs_with_markers_are_killed_at_any_time(tmp_path):
    """And gone on with by another number of threads; two at once are kept apart."""
    source = _jpegs(tmp_path, np.random.default_rng(0))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    began = time.monotonic()
    assert start(source, whole, 0).returncode == 0
    took = time.monotonic() - began
    generator = random.Random(3)
    said = []
    for number in range(6):
        command = _command(source, parts, jobs=1 + number % 3)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
            if number % 2:
                other = subprocess.run(
                    _command(source, parts), capture_output=True, text=True, check=False
                )
                said.append(other.stderr)
            else:
                time.sleep(generator.uniform(0.2, 0.9) * took)
            first.kill()
        if (parts / layout.MANIFEST).exists():
            assert sums(parts) == sums(whole)
            shutil.rmtree(parts)
    assert any("a folder that nobody packs into" in each for each in said), said
    finished = start(source, parts, 0)
    assert finished.returncode == 0, finished.stderr
    assert sums(parts) == sums(whole)
    assert manifest.load(parts).options["jpeg_restart_markers"] == "lossless"
    assert sum(b"\xff\xdd" in record for record in records(parts)) == 240
