"""Programs are kept whole, for this user, and as many as there is room for."""

import os

from kerascale.runtime import program_store


def test_what_was_put_is_found(tmp_path):
    store = program_store.ProgramStore(tmp_path / "mesh-programs" / "one")
    assert store.get("a") is None
    store.put("a", b"program")
    assert store.get("a") == b"program"
    assert (store.folder / "a").stat().st_mode & 0o777 == 0o600
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_a_damaged_one_is_removed(tmp_path):
    store = program_store.ProgramStore(tmp_path / "mesh-programs" / "one")
    store.put("a", b"program")
    path = store.folder / "a"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.get("a") is None
    assert not path.exists()


def test_one_that_others_can_write_is_not_taken(tmp_path):
    store = program_store.ProgramStore(tmp_path / "mesh-programs" / "one")
    store.put("a", b"program")
    (store.folder / "a").chmod(0o666)
    assert store.get("a") is None


def test_those_unused_for_the_longest_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(program_store, "_MOST_BYTES", 2 * (32 + 7))
    store = program_store.ProgramStore(tmp_path / "mesh-programs" / "one")
    for age, name in ((30, "a"), (20, "b")):
        store.put(name, b"program")
        os.utime(store.folder / name, (0, 1e9 - age))
    assert store.get("a") == b"program"  # Which makes it young.
    store.put("c", b"program")
    assert sorted(path.name for path in store.folder.iterdir()) == ["a", "c"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "mesh-programs").write_text("a file")
    store = program_store.ProgramStore(tmp_path / "mesh-programs" / "one")
    store.put("a", b"program")
    assert store.get("a") is None
