"""`kerascale pack`, and its `--check`: what changed is named with its rows."""

import json
import os
import re

import numpy as np
import pytest
from helpers.packed import assert_same
from PIL import Image

from kerascale import cli
from kerascale.datasets import reading
from kerascale.datasets.packed import layout, manifest


@pytest.fixture
def run(capsys):
    """Runs `kerascale pack`: its exit code, its result, what it said."""

    def call(*arguments):
        capsys.readouterr()
        code = cli.main(["pack", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def npz(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30_000, 30)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(30_000) % 3)
    return f"npz:{tmp_path / 'x.npz'}"


@pytest.fixture
def pictures(tmp_path):
    for i in range(40):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        path = tmp_path / "pictures" / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return f"images:{tmp_path / 'pictures'}"


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_pack_and_check(run, npz, tmp_path):
    code, _, said = run(npz, tmp_path / "made", "--validation-fraction", 0.2)
    assert code == 0
    assert "30,000 rows (train 19,200, validation 4,800, test 6,000), " in said
    assert f"--dataset packed:{tmp_path / 'made'}" in said
    assert_same(tmp_path / "made", reading.read(npz), fraction=0.2)
    code, out, said = run(
        npz, tmp_path / "made", "--validation-fraction", 0.2, "--json"
    )
    assert code == 0
    assert "is packed already" in said
    assert json.loads(out)["was_packed"] is True
    code, _, said = run(npz, tmp_path / "made")
    assert code == 2
    assert "packed already with validation_fraction=0.2. Name another folder" in said
    code, out, said = run("--check", tmp_path / "made", "--json")
    assert code == 0
    assert "is as it was packed" in said
    assert json.loads(out)["faults"] == []


def test_an_altered_block_of_rows_is_named(run, npz, tmp_path):
    made = tmp_path / "made"
    run(npz, made)
    flip(made / layout.FEATURES, 2**20 + 5)
    code, out, said = run("--check", made, "--json")
    assert code == 1
    # Of 120 bytes each, in the second block.
    assert "features.bin, rows 8,738 to 17,476: bytes changed" in said
    assert json.loads(out)["faults"][0]["rows"] == [8738, 17477]
    os.truncate(made / layout.FEATURES, 3 * 2**20)
    flip(made / layout.LABELS, 100)
    _, _, said = run("--check", made)
    assert "features.bin, rows 8,738 to 17,476: expected 3,600,000 bytes." in said
    assert "features.bin, rows 26,214 to 29,999: expected 3,600,000 bytes." in said
    assert "labels.bin, rows 0 to 29,999: bytes changed" in said
    (made / "test.index").unlink()
    _, _, said = run("--check", made)
    assert "test.index: expected. Received: no such file" in said


def test_an_altered_record_is_named(run, pictures, tmp_path):
    made = tmp_path / "made"
    code, _, said = run(pictures, made)
    assert code == 0, said
    [shard] = manifest.load(made).shards
    content = (made / shard["file"]).read_bytes()
    picture = (tmp_path / "pictures" / "b" / "21.png").read_bytes()
    row = 20 + [f"{i:02}" for i in range(1, 40, 2)].index("21")
    flip(made / shard["file"], content.index(picture[100:200]) + 50)
    code, _, said = run("--check", made)
    assert code == 1
    assert f"features-00000.array_record, row {row}: bytes changed" in said
    os.truncate(made / shard["file"], 100_000)
    _, _, said = run("--check", made)
    assert re.search(
        r"array_record, rows 0 to 39: expected [\d,]+ bytes.*100,000", said
    )


def test_what_is_refused(run, npz, tmp_path):
    assert run("--check", tmp_path)[0] == 2
    code, _, said = run(npz)
    assert code == 2
    assert "expected DEST" in said
    code, _, said = run(npz, tmp_path / "made", "--image-sise", 3)
    assert code == 2
    assert "--image-sise: no such flag" in said
    code, _, said = run(npz, tmp_path / "made", "--validation-fraction", 0.7)
    assert code == 2
    assert "validation_fraction: expected a finite number > 0 and <= 0.5" in said
    assert not (tmp_path / "made").exists()
