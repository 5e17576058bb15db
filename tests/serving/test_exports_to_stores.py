"""An export is written into a folder; the address of an object store is none."""

import pathlib

import pytest

import kerascale as ks
from kerascale.serving import folders


def test_an_export_is_on_a_file_system(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ks.RefusedError, match="destination: expected a path in a file"),
        folders.temporary(pathlib.Path("gs://bucket/served")),
    ):
        pass
    assert not list(tmp_path.iterdir())
