"""One server for all tests that only ask it something."""

import functools

import pytest

from helpers import rest_models, rest_process


@pytest.fixture(scope="session")
def rest_folder(tmp_path_factory):
    """Models in one folder: two versions with labels, all types, batching."""
    base = tmp_path_factory.mktemp("served")
    half = base / "half_plus_two"
    half.mkdir()
    rest_models.half_plus_two(half / "00000123")
    rest_models.half_plus_two(half / "122", offset=1.0)
    (half / "models.config").write_text(
        """
        model_config_list {
          config {
            name: "half_plus_two"
            base_path: "/models/half_plus_two"
            model_platform: "tensorflow"
            version_labels { key: "stable" value: 122 }
            version_labels { key: "canary" value: 123 }
          }
        }
        """
    )
    for name, make in (
        ("types", rest_models.many_types),
        ("batching", rest_models.batching),
    ):
        (base / name).mkdir()
        make(base / name / "1")
    return base


@pytest.fixture(scope="session")
def serving(forks):
    """`rest_process.serving`, which need not import TensorFlow."""
    return functools.partial(rest_process.serving, forks=forks)


@pytest.fixture(scope="session")
def rest_server(rest_folder, serving, tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(rest_folder, log=log) as server:
        yield server
