"""Damaged checkpoints are named and skipped (row 6)."""

import json
import os
import shutil

import pytest
from helpers import stores
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kerascale.errors import RefusedError, SaveFailedError
from kerascale.runs.checkpoint import Store, contents, manifest


@pytest.fixture
def store():
    """A store with the steps 10 and 20."""
    with stores.two_steps() as store:
        yield store


def _assert_skips_newest(store, reason):
    newest, skipped = store.newest()
    stores.assert_whole(newest, 10)
    assert [each.step for each in skipped] == [20]
    assert skipped[0].path == store.folder / "000000000020"
    assert reason in skipped[0].reason
    with pytest.raises(RefusedError, match=r"of step 20. Received: .*steps: 10, 20"):
        store.read(20)


@pytest.mark.parametrize("name", stores.FILES)
@pytest.mark.parametrize("place", ["nothing", "a byte", "a header", "half", "all but"])
def test_truncated(store, name, place):
    path = stores.file(store, 20, name)
    size = path.stat().st_size
    kept = {
        "nothing": 0,
        "a byte": 1,
        "a header": 60,
        "half": size // 2,
        "all but": size - 1,
    }[place]
    os.truncate(path, kept)
    if name != "manifest.json":
        reason = f"{name} is truncated: {kept} of {size} bytes"
    elif kept:
        # Without its last newline it is JSON still.
        reason = "bytes changed" if kept == size - 1 else "manifest.json is not JSON"
    else:
        reason = "manifest.json is empty"
    _assert_skips_newest(store, reason)


@pytest.fixture(scope="module")
def damaged_store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("damaged"))
    stores.save(store, 10)
    stores.save(store, 20)
    return store


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(stores.FILES),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=8, max_size=8) | st.just(b" " * 8) | st.just(bytes(8)),
)
def test_eight_bytes_overwritten(damaged_store, name, place, data):
    path = stores.file(damaged_store, 20, name)
    before = path.read_bytes()
    start = int(place * (len(before) - 7))
    after = before[:start] + data + before[start + 8 :]
    assume(after != before)
    path.write_bytes(after)
    try:
        newest, skipped = damaged_store.newest()
    finally:
        path.write_bytes(before)
    stores.assert_whole(newest, 10)
    assert [each.step for each in skipped] == [20]


def _other_manifest(**changes):
    def damage(folder):
        content = json.loads((folder / "manifest.json").read_bytes())
        content.update(changes)
        del content["sha256"]
        content["sha256"] = manifest._own_sum(content)
        (folder / "manifest.json").write_bytes(manifest._encode(content))

    return damage


def _replace(name, make):
    def damage(folder):
        os.rename(folder / name, folder / f"moved-{name}")
        make(folder / name, folder / f"moved-{name}")

    return damage


def _link_folder(folder):
    os.rename(folder, folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def _file_instead(folder):
    shutil.rmtree(folder)
    folder.write_text("")


_ENTRY = {"size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda f: (f / "manifest.json").write_bytes(b""), "manifest.json is empty"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_text("hello"), "is not JSON"),
        (lambda f: (f / "manifest.json").write_text("[" * 10**5), "is not JSON"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "is not a JSON object"),
        (lambda f: (f / "manifest.json").write_text("{}"), "bytes changed"),
        (
            lambda f: (f / "manifest.json").write_bytes(bytes(2**20 + 1)),
            "manifest.json is larger than 1048576 bytes",
        ),
        (_other_manifest(version=2), "another format: expected kerascale-check"),
        (_other_manifest(format="other"), "Received: 'other' 1"),
        (_other_manifest(step=30), "manifest.json is of another step: 30"),
        (_other_manifest(files=[]), "lists no files"),
        (_other_manifest(files={}), "lists other files"),
        (_other_manifest(files={"../state.npz": _ENTRY}), "names a file elsewhere"),
        (_other_manifest(files={"/etc/passwd": _ENTRY}), "names a file elsewhere"),
        (_other_manifest(files={"..": _ENTRY}), "names a file elsewhere"),
        (
            _other_manifest(files={"state.json": {}, "state.npz": _ENTRY}),
            "says nothing of state.json",
        ),
        (
            _other_manifest(
                files={
                    "state.json": {**_ENTRY, "size": 2**40},
                    "state.npz": _ENTRY,
                }
            ),
            "state.json is larger than",
        ),
        (lambda f: (f / "state.npz").unlink(), "state.npz is missing"),
        (lambda f: (f / "state.json").unlink(), "state.json is missing"),
        (
            lambda f: (f / "state.json").write_bytes(
                (f / "state.json").read_bytes() + b" "
            ),
            "state.json: bytes changed",
        ),
        (
            _replace("state.npz", lambda new, old: new.symlink_to(old)),
            "state.npz is a symbolic link",
        ),
        (
            _replace("state.npz", lambda new, old: new.mkdir()),
            "state.npz is not a file",
        ),
        (
            _replace("state.npz", lambda new, old: os.mkfifo(new)),
            "state.npz is not a file",
        ),
        (_link_folder, "the folder is a symbolic link"),
        (_file_instead, "not a folder"),
    ],
)
def test_damaged_folder(store, damage, reason):
    damage(store.folder / "000000000020")
    _assert_skips_newest(store, reason)


def test_unlisted_files_do_not_matter(store):
    (store.folder / "000000000020" / ".DS_Store").write_text("x")
    (store.folder / "best.weights.h5").write_text("x")
    stores.assert_whole(store.newest()[0], 20)


def test_newest_folder_missing(store):
    shutil.rmtree(store.folder / "000000000020")
    newest, skipped = store.newest()
    stores.assert_whole(newest, 10)
    assert not skipped


def test_all_bad_is_not_the_same_as_none(store, tmp_path):
    assert Store(tmp_path / "new").newest() == (None, [])
    assert not (tmp_path / "new").exists()
    stores.file(store, 10, "manifest.json").unlink()
    os.truncate(stores.file(store, 20, "state.npz"), 5)
    newest, skipped = store.newest()
    assert newest is None
    assert [each.step for each in skipped] == [20, 10]
    assert "truncated" in str(skipped[0])
    assert str(store.folder / "000000000010") in str(skipped[1])


def test_a_missing_step_is_refused(store):
    with pytest.raises(RefusedError, match=r"of step 15.*is missing .*steps: 10, 20"):
        store.read(15)


@pytest.mark.parametrize("name", stores.FILES)
@pytest.mark.parametrize("what", ["a bit", "the end"])
def test_bytes_that_the_disk_gives_back_otherwise(store, monkeypatch, name, what):
    def damage(point, step):
        if point != "save:after-manifest":
            return
        (folder,) = (path for path in store.folder.iterdir() if path.name[0] == ".")
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data[:-1] if what == "the end" else data)

    monkeypatch.setattr(contents, "reach", damage)
    with pytest.raises(SaveFailedError, match=r"SAVE FAILED.*read back otherwise"):
        stores.save(store, 30)
    monkeypatch.undo()
    stores.assert_whole(store.newest()[0], 20)
    assert store.steps() == [10, 20]
    assert not stores.hidden(store.folder)
