"""A version that has to pass a check passes it before anything of it is loaded."""

import pytest

from kerascale.errors import RefusedError
from kerascale.serving.server import repository
from kerascale.serving.server.status import StatusError


def test_what_does_not_pass_is_not_loaded(tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(repository, "Servable", loaded.append)

    def check(folder):
        raise RefusedError(f"{folder.name}: no signature")

    with pytest.raises(StatusError, match="1: no signature"):
        repository.load_and_try(tmp_path / "1", check)
    assert not loaded


def test_what_is_loaded_is_what_was_checked(tmp_path, monkeypatch):
    """Somebody writes over it meanwhile."""
    seen = []
    monkeypatch.setattr(repository, "Servable", seen.append)

    def check(folder):
        if seen:
            raise RuntimeError("another file")

    with pytest.raises(StatusError, match="another file"):
        repository.load_and_try(tmp_path / "1", check)
    assert seen == [tmp_path / "1"]
