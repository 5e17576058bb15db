"""`digits` and `python_reference`, and any data set of TensorFlow Datasets."""

import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds

import kerascale
from kerascale.data.digits import digits_dataset_builder
from kerascale.datasets import cache
from kerascale.datasets.info import fingerprint
from kerascale.datasets.sources import embedded, tfds_source
from kerascale.datasets.sources.tfds_examples import quiet_tfds
from kerascale.errors import RefusedError

DIGITS = pathlib.Path(digits_dataset_builder.__file__).parent
PACKAGE = pathlib.Path(kerascale.__file__).parent

# Imports `embedded` as a process does that has not loaded TensorFlow (the package
# kerascale.datasets loads it), in which every attempt to use the network fails.
EMBEDDED_ALONE = f"""
import sys, types

def refuse_network(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"network: {{event}} {{arguments}}")

sys.addaudithook(refuse_network)
import kerascale
for name in ("kerascale.datasets", "kerascale.datasets.sources"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["kerascale.datasets"].__path__ = [{str(PACKAGE / "datasets")!r}]
sys.modules["kerascale.datasets.sources"].__path__ = [
    {str(PACKAGE / "datasets" / "sources")!r}
]
from kerascale.datasets.sources import embedded
"""


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """A cache folder, and a TFDS_DATA_DIR, that do not exist yet."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty TFDS_DATA_DIR."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


@pytest.fixture(scope="module")
def prepared_digits(tmp_path_factory):
    """A folder that holds the data set `digits` as TFDS stores it: in TFRecords."""
    folder = tmp_path_factory.mktemp("prepared")
    with quiet_tfds():
        digits_dataset_builder.Builder(data_dir=folder).download_and_prepare()
    return folder


def store(folder, name, features, **splits):
    """Has TFDS store examples as the data set `name`, as a user's script would."""
    with quiet_tfds():
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={
                split: list(enumerate(examples)) for split, examples in splits.items()
            },
            data_dir=folder,
            disable_shuffling=True,
        )


def test_preparing_leaves_the_random_numbers_of_python_alone():
    """They decide the order of `fit`, and were seeded by the user."""
    before = random.getstate()
    with quiet_tfds():
        random.random()  # As TFDS does where it prepares.
    assert random.getstate() == before


def test_digits_csv_is_the_file_that_its_readme_describes():
    content = (DIGITS / "digits.csv").read_bytes()
    readme = (DIGITS / "README.md").read_text()
    assert f"`{hashlib.sha256(content).hexdigest()}`" in readme
    assert "10.24432/C50P49" in readme
    assert "CC BY 4.0" in readme
    table = pd.read_csv(DIGITS / "digits.csv")
    assert list(table.columns) == [
        "split",
        "label",
        *(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
    ]
    assert Counter(table["split"]) == {"train": 1347, "test": 450}
    assert set(table["label"]) == set(range(10))
    # Stratified: each class gives its share, to less than one example.
    in_test = table[table["split"] == "test"]["label"].value_counts()
    share = table["label"].value_counts() * 450 / 1797
    assert ((in_test - share).abs() < 1).all()


def test_digits(cache_folder):
    raw = embedded.digits()
    assert (raw.name, raw.kind) == ("digits", "image")
    assert raw.class_names == tuple("0123456789")
    assert raw.validation is None
    table = pd.read_csv(DIGITS / "digits.csv")
    for name, split in (("train", raw.train), ("test", raw.test)):
        rows = table[table["split"] == name]
        assert split.features.dtype == np.uint8
        assert split.features.shape == (len(rows), 8, 8, 1)
        assert split.labels.dtype == np.int64
        assert (split.labels == rows["label"]).all()
        pixels = split.features.reshape(-1, 64)
        assert (pixels == rows.filter(like="pixel_").to_numpy()).all()
    assert (raw.train.features.min(), raw.train.features.max()) == (0, 16)


def test_digits_are_prepared_once_in_our_own_folder(cache_folder, monkeypatch):
    first = embedded.digits()
    assert list(cache_folder.rglob("dataset_info.json"))
    assert not (cache_folder.parent / "tfds").exists()

    def fail(*_, **__):
        raise AssertionError("prepared again")

    with monkeypatch.context() as patch:
        patch.setattr(digits_dataset_builder.Builder, "download_and_prepare", fail)
        second = embedded.digits()
    assert (first.train.features == second.train.features).all()


def test_digits_are_prepared_anew_when_the_file_changes(
    cache_folder, tmp_path, monkeypatch
):
    embedded.digits()
    changed = tmp_path / "digits.csv"
    lines = (DIGITS / "digits.csv").read_text().splitlines()[:3]
    changed.write_text("\n".join([*lines, lines[1].replace("train", "test")]))
    monkeypatch.setattr(digits_dataset_builder, "csv_file", lambda: changed)
    raw = embedded.digits()
    assert (len(raw.train), len(raw.test)) == (2, 1)


@pytest.mark.parametrize("damage", ["truncated", "removed"])
def test_damaged_digits_are_prepared_again(cache_folder, damage):
    embedded.digits()
    [file] = cache_folder.rglob("digits-train.array_record*")
    file.write_bytes(file.read_bytes()[:1000]) if damage == "truncated" else (
        file.unlink()
    )
    assert len(embedded.digits().train) == 1347


def test_two_processes_prepare_digits_at_once(cache_folder):
    code = EMBEDDED_ALONE + (
        "raw = embedded.digits()\n"
        "print(len(raw.train), len(raw.test), 'tensorflow' in sys.modules)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    # Nothing but our own lines reach the terminal, and TensorFlow is not needed.
    assert [out for out, _ in outputs] == ["1347 450 False\n"] * 2
    waiting = "waiting for another process that holds "
    for _, err in outputs:  # Said by one that waits for long.
        assert all(line.startswith(waiting) for line in err.splitlines()), err
    assert len(list(cache_folder.rglob("dataset_info.json"))) == 1


def test_a_killed_preparation_is_recovered(cache_folder):
    code = EMBEDDED_ALONE + (
        "from kerascale.data.digits.digits_dataset_builder import Builder\n"
        "generate = Builder._generate_examples\n"
        "def hang(self, table):\n"
        "    for number, example in enumerate(generate(self, table)):\n"
        "        yield example\n"
        "        if number == 100:\n"
        "            print('half', file=sys.stderr, flush=True)\n"
        "            import time; time.sleep(600)\n"
        "Builder._generate_examples = hang\n"
        "embedded.digits()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as half:
        assert half.stderr.readline() == b"half\n"
        half.send_signal(signal.SIGKILL)
    assert list(cache_folder.glob("*.partial"))
    assert len(embedded.digits().train) == 1347
    assert not list(cache_folder.glob("*.partial"))


def test_a_cache_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    message = r"Received: .*/file/cache \(ENOTDIR: .*\)\. Set KERASCALE_CACHE_DIR to a"
    with pytest.raises(RefusedError, match=message):
        embedded.digits()


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path))
    assert cache.cache_dir() == tmp_path
    monkeypatch.delenv("KERASCALE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.cache_dir() == tmp_path / "xdg" / "kerascale"


def test_waiting_for_another_process_is_said(cache_folder, monkeypatch, capsys):
    monkeypatch.setattr(cache, "_SILENT_WAIT_SECONDS", 0.1)
    code = (
        "import filelock, sys, time\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(1)"
    )
    cache_folder.mkdir()
    held = cache_folder / "a-b.lock"
    command = [sys.executable, "-c", code, str(held)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with cache.lock("a/b"):
            assert other.wait(timeout=10) == 0
    assert f"waiting for another process that holds {held}" in capsys.readouterr().err


def paragraphs(text):
    found = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return {paragraph for paragraph in found if len(paragraph) >= 40}


def test_python_reference():
    raw = embedded.python_reference()
    assert (raw.name, raw.kind, raw.class_names) == ("python_reference", "corpus", ())
    parts = [raw.train, raw.validation, raw.test]
    assert all(p.features.shape == (1,) and p.labels.shape == (0,) for p in parts)
    train, validation, test = (part.features[0] for part in parts)
    total = len(train) + len(validation) + len(test)
    assert 0.04 < len(validation) / total < 0.05
    assert 0.04 < len(test) / total < 0.05
    assert not paragraphs(test) & (paragraphs(train) | paragraphs(validation))
    assert not paragraphs(validation) & paragraphs(train)
    assert all(isinstance(text, str) for text in (train, validation, test))


def test_python_reference_is_deterministic(run_python):
    expected = fingerprint(embedded.python_reference())
    code = EMBEDDED_ALONE + (
        "from kerascale.datasets.info import fingerprint\n"
        "print(fingerprint(embedded.python_reference()))"
    )
    finished = run_python(code, env={"PYTHONHASHSEED": "12345"})
    assert finished.stdout.strip() == expected
    assert re.fullmatch("[0-9a-f]{64}", expected)


def test_a_python_without_its_reference_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(RefusedError, match=r"Received: one without it .* text:PATH"):
        embedded.python_reference()


def test_tfds_images(prepared_digits, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_digits))
    expected, raw = embedded.digits(), tfds_source.load_tfds("digits")
    assert (raw.name, raw.kind) == ("tfds:digits", "image")
    assert raw.class_names == expected.class_names
    assert raw.validation is None
    for split, same in ((raw.train, expected.train), (raw.test, expected.test)):
        assert split.features.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert (split.features == same.features).all()
        assert (split.labels == same.labels).all()


def test_tfds_array_records(data_dir):
    with quiet_tfds():
        builder = digits_dataset_builder.Builder(data_dir=data_dir)
        builder.download_and_prepare(file_format="array_record")
    raw = tfds_source.load_tfds("tfds:digits:1.0.0")
    assert raw.name == "tfds:digits:1.0.0"
    expected = embedded.digits().train
    assert (raw.train.features == expected.features).all()
    assert (raw.train.labels == expected.labels).all()
    [file] = data_dir.rglob("digits-test.array_record*")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RefusedError, match=rf"^{re.escape(str(file))}: .* damaged"):
        tfds_source.load_tfds("digits")


def test_tfds_images_are_resized(prepared_digits, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_digits))
    raw = tfds_source.load_tfds("digits", image_size=4)
    assert raw.train.features.shape == (1347, 4, 4, 1)
    assert raw.train.features.dtype == np.uint8
    # Without antialiasing, 1 in 4 pixels would be kept and the mean would wander.
    original = embedded.digits().train.features
    assert raw.train.features.mean() == pytest.approx(original.mean(), rel=0.05)


def test_tfds_images_of_different_sizes(data_dir):
    generator = np.random.default_rng(0)
    images = [
        generator.integers(0, 256, (height, 20, 3), dtype=np.uint8)
        for height in (10, 20, 30)
    ]
    store(
        data_dir,
        "sizes",
        {
            "image": tfds.features.Image(),
            "file": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        },
        train=[
            {"image": image, "file": "x", "label": index % 2}
            for index, image in enumerate(images)
        ],
    )
    with pytest.raises(RefusedError, match=r"shape \(None, None, 3\).* --image-size N"):
        tfds_source.load_tfds("sizes")
    raw = tfds_source.load_tfds("sizes", image_size=20)
    assert raw.train.features.shape == (3, 20, 20, 3)
    assert (raw.train.features[1] == images[1]).all()
    assert raw.train.labels.tolist() == [0, 1, 0]
    assert raw.test is None


def test_tfds_texts(data_dir, capsys):
    from pydoc_data.topics import topics

    texts = [f"{topics[name][:300]} “ü”" for name in sorted(topics)]
    examples = [{"text": t, "label": i % 3} for i, t in enumerate(texts)]
    unlabelled = [{"text": t, "label": -1} for t in texts[:5]]
    names = ["first", "second", "third"]
    store(
        data_dir,
        "python_topics",
        {
            "text": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=names),
        },
        train=examples[:50],
        validation=examples[50:60],
        test=unlabelled,
    )
    raw = tfds_source.load_tfds("python_topics")
    assert (raw.kind, raw.class_names) == ("text", tuple(names))
    assert raw.train.features.tolist() == texts[:50]
    assert raw.train.features.dtype == object
    assert raw.validation.labels.tolist() == [e["label"] for e in examples[50:60]]
    assert raw.test is None
    said = capsys.readouterr()
    assert "the test split is not used: 5 of its 5 examples have no label" in said.err
    assert said.out == ""


def test_tfds_data_without_usable_features_is_refused(data_dir):
    store(
        data_dir,
        "prices",
        {
            "rooms": tfds.features.Sequence(np.int64),
            "kind": tfds.features.ClassLabel(num_classes=2),
        },
        train=[{"rooms": [3], "kind": 0}],
    )
    message = r"beside one ClassLabel or .* Received: rooms: Sequence\. Choose with"
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds("prices")


@pytest.mark.parametrize(
    ("split", "label", "message"),
    [
        ("train", -1, r"expected a label for every .* Received: 1 of 1 without one"),
        ("test", 0, r"expected examples in a split called train\. Received: {'test'"),
    ],
)
def test_tfds_data_without_training_examples_is_refused(
    data_dir, split, label, message
):
    features = {
        "text": tfds.features.Text(),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    store(data_dir, "short", features, **{split: [{"text": "x", "label": label}]})
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds("short")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnst", r"Received: 'mnst'\. Did you mean mnist or .*\?"),
        ("mnist:0.0.1", r"Received: 'mnist:0\.0\.1' .* only: 3\.0\.1"),
        ("imdb_reviews/nothing", r"BuilderConfig nothing not found"),
        ("two words", r"Expected a data set as NAME, .*Received: 'two words'"),
    ],
)
def test_unknown_tfds_names_are_refused(data_dir, name, message):
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds(name)


def test_tfds_without_network_is_refused_at_once(data_dir, monkeypatch, capsys):
    def unknown_host(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", unknown_host)
    message = r"OSError: no network: .*tfds build mnist.* set TFDS_DATA_DIR"
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds("mnist")
    assert "tfds:mnist is not in" in capsys.readouterr().err


def test_tfds_data_that_was_prepared_half_is_refused(data_dir):
    (data_dir / "mnist" / "3.0.1").mkdir(parents=True)
    message = r"Received: .*/mnist/3\.0\.1, which has no dataset_info\.json\. Delete"
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds("mnist")


def test_tfds_data_that_does_not_fit_in_memory_is_refused(prepared_digits, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_digits))
    monkeypatch.setattr(tfds_source, "available_bytes", lambda: 10 * 2**30)
    with pytest.raises(
        RefusedError,
        match=r"1797 examples, which need 10\.8 GiB of 10\.0 GiB.* smaller",
    ):
        tfds_source.load_tfds("digits", image_size=2540)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "removed"])
def test_damaged_tfds_files_are_named(prepared_digits, tmp_path, monkeypatch, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(prepared_digits, folder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    file = folder / "digits" / "1.0.0" / "digits-test.tfrecord-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "removed":
        os.remove(file)
    else:
        kept = {"flipped": len(content), "truncated": 5000, "empty": 0}[damage]
        file.write_bytes(content[:kept])
    message = rf"^{re.escape(str(file))}: .* Received: a damaged or missing file \("
    with pytest.raises(RefusedError, match=message):
        tfds_source.load_tfds("digits")


def test_damaged_tfds_metadata_is_refused(prepared_digits, tmp_path, monkeypatch):
    folder = tmp_path / "damaged"
    shutil.copytree(prepared_digits, folder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    (folder / "digits" / "1.0.0" / "dataset_info.json").write_text("{")
    with pytest.raises(RefusedError, match=r"Received: 'digits' \(.*look into .*dam"):
        tfds_source.load_tfds("digits")
