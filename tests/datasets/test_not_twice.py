"""Tables and pictures are never in memory twice: the peak of a process of its own."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from kerascale.datasets import regions, resident, splits
from kerascale.datasets.raw import RawData, Split

_PEAK = """
import json, sys
import numpy as np
import kerascale as ks
from kerascale.runtime import free_memory

def peak():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024

def make(recipe, name):
    recipe = ks.load_recipe(recipe)
    label = {"label": "y"} if name.startswith("csv:") else {}
    return recipe.make_datasets(recipe.Config(dataset=name, **label))

for recipe, small, large in json.loads(sys.argv[1]):
    # What importing and reading take whatever the size is.
    next(iter(make(recipe, small).train.dataset()))
    free_memory.give_back()
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    data = make(recipe, large)
    taken = peak() - before
    features = data.train.gather.arrays[0]
    row = int(np.prod(features.shape[1:])) * features.dtype.size + 8
    print(json.dumps([taken, sum(data.info.num_examples.values()) * row]))
    del data, features
"""


def table(path, rows):
    values = ",".join(f"0.{i}23456789" for i in range(10))
    two = f"{values},cat\n-{values},dog\n"
    header = ",".join(f"c{i}" for i in range(10)) + ",y\n"
    path.write_text(header + two * (rows // 2))
    return f"csv:{path}"


def pictures(path, count):
    generator = np.random.default_rng(0)
    for name in "ab":
        (path / name).mkdir(parents=True)
        pixels = generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / name / "0.bmp")
        for number in range(1, count // 2):
            os.link(path / name / "0.bmp", path / name / f"{number}.bmp")
    return f"images:{path}"


def peaks(run_python, tmp_path, num_rows, num_pictures):
    """(bytes taken at the highest point, bytes of the arrays) of both."""
    wanted = [
        ("mlp", table(tmp_path / "s.csv", 100), table(tmp_path / "t.csv", num_rows)),
        ("cnn", pictures(tmp_path / "s", 60), pictures(tmp_path / "t", num_pictures)),
    ]
    done = run_python(_PEAK, json.dumps(wanted), cwd=tmp_path)
    return [json.loads(line) for line in done.stdout.splitlines()[-2:]]


def test_tables_and_pictures_are_in_memory_once(run_python, tmp_path):
    for taken, arrays in peaks(run_python, tmp_path, 700_000, 2000):
        # What a few blocks of a table take does not depend on its size.
        assert taken < 1.3 * arrays + 30e6


@pytest.mark.slow
def test_two_million_rows_and_fifty_thousand_pictures(run_python, tmp_path, capsys):
    found = peaks(run_python, tmp_path, 2_000_000, 50_000)
    with capsys.disabled():
        for taken, arrays in found:
            print(
                f"\n{taken / 1e6:.0f} MB for {arrays / 1e6:.0f}: {taken / arrays:.2f}"
            )
    assert all(taken <= 1.3 * arrays for taken, arrays in found)


@pytest.mark.parametrize("rows", [9, 300_001])
def test_an_array_that_grows_and_is_taken_apart(rows):
    generator = np.random.default_rng(rows)
    wanted = generator.normal(size=(rows, 3)).astype("float32")
    growing = regions.Growing((3,), np.float32)
    growing.expect(rows // 2)
    for part in np.array_split(wanted, 7):
        growing.append(part)
    array = growing.array()
    np.testing.assert_array_equal(array, wanted)
    assert regions.is_ours(array) == (rows > 9)
    part_of = generator.integers(0, 3, rows).astype("uint8")
    for number, part in enumerate(regions.taken_apart(array, part_of, 3)):
        np.testing.assert_array_equal(part, wanted[part_of == number])


def test_only_what_was_given_up_is_taken_as_it_is():
    array = regions.empty((2**20, 2), np.float32)
    array[:] = 3
    assert resident.tensor(array).numpy().ctypes.data != array.ctypes.data
    regions.give_up(array)
    same = resident.tensor(array)
    array[0] = 7
    assert same[0].numpy().tolist() == [7, 7]
    assert resident.tensor(array, "float64").dtype == "float64"
    address = array.ctypes.data
    assert address in regions._mappings
    del array, same
    assert address not in regions._mappings
    regions.give_up(np.ones(3))


@pytest.mark.parametrize("given", [(), ("test",), ("validation", "test")])
def test_splits_in_place_are_the_same(given):
    def raw():
        features = regions.empty((400_000, 2), np.float32)
        features[:] = np.arange(800_000).reshape(-1, 2)
        labels = np.arange(400_000) % 7 % 3
        other = Split(features[:5].copy(), labels[:5])
        return RawData(
            "x",
            "vector",
            ("a",) * 3,
            Split(features, labels),
            **dict.fromkeys(given, other),
        )

    whole, own = splits.three(raw(), 0.2), splits.three(raw(), 0.2, is_last_use=True)
    for name, split in whole.items():
        np.testing.assert_array_equal(own[name].features, split.features)
        np.testing.assert_array_equal(own[name].labels, split.labels)
