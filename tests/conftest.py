"""Shared by all tests: quiet TensorFlow, a cache folder of the session's own."""

import importlib
import os
import pathlib
import subprocess
import sys
import types

import hypothesis
import pytest
from helpers.forks import collect_rarely

# The same examples in each run; others are searched for with HYPOTHESIS_PROFILE=search.
# How long one takes says how busy the machine is.
_BUSY = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
hypothesis.settings.register_profile("same", derandomize=True, **_BUSY)
hypothesis.settings.register_profile("search", max_examples=2000, **_BUSY)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# First, as a user should: so a test computes as the processes that it starts.
importlib.import_module("kerascale")


pytest_plugins = ["helpers.fault_fixtures", "helpers.loader_fixtures", "table"]


def pytest_collection_finish():
    collect_rarely()


def pytest_make_parametrize_id(val, argname):
    """Bytes are no names: protocol buffers write a map in another order each time.

    Processes that share the tests must call them the same.
    """
    return argname if isinstance(val, bytes) else None


# Files that take longest begin first, so that no core idles at the end. Before them
# tests of XLA: `train` turns op determinism on, which nothing turns off, and where it
# is on Keras does not compile by XLA.
_FIRST = (
    "models/test_models",
    "engine/parity/test_matrix",
    "launch/test_workers",
    "recipes/test_recipes",
    "serving/test_consumers",
    "engine/test_execution",
    "diagnostics/test_verify",
    "cli/test_cli",
    "test_documentation",
    "training/test_resume",
    "serving/test_contents",
    "training/test_folders",
    "runs/test_runs",
    "serving/test_saved_model",
    "serving/test_rest_process",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than there are cores: many tests wait for processes."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)  # Before slow tests are left out.
def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(_FIRST)}

    def place(item):
        name = item.path.relative_to(pathlib.Path(__file__).parent).with_suffix("")
        return places.get(name.as_posix(), len(places))

    items.sort(key=place)
    for item in items:
        # Their trainings take longer than those of all others together.
        long = "[language_model]", "[transformer]", "[rnn]", "[cnn]", "[finetune]"
        trains = "trained" in item.fixturenames or "same_seed" in item.name
        if item.path.name == "test_recipes.py" and trains and item.name.endswith(long):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """The user's cache folder is neither read nor written by a test."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("KERASCALE_CACHE_DIR")
    os.environ["KERASCALE_CACHE_DIR"] = str(folder)
    yield
    if before is None:
        del os.environ["KERASCALE_CACHE_DIR"]
    else:
        os.environ["KERASCALE_CACHE_DIR"] = before


def _finished(forks, arguments, cwd, env, timeout):
    """How a Python command ended: in a new process, or in a fork of one."""
    environ = {**os.environ, **(env or {})}
    command = list(map(str, arguments))
    if forks is not None:
        ended = forks.run(command, cwd=cwd or os.getcwd(), env=environ, timeout=timeout)
        return subprocess.CompletedProcess(command, *ended)
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def run_python(request, forks):
    """Runs Python code in a process of its own; fails with its output.

    With `imported`, TensorFlow and Keras are imported already, which saves 4 s; with
    `imported="tensorflow"`, TensorFlow is, and neither Keras nor kerascale can be.
    """

    def run(code, *arguments, cwd=None, env=None, check=True, imported=False):
        command = ("-c", code, *arguments)
        of = forks if imported else None
        if imported == "tensorflow":
            of = request.getfixturevalue("tensorflow_forks")
        finished = _finished(of, command, cwd, env, 300)
        if check:
            assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished

    return run


@pytest.fixture
def kerascale(tmp_path, forks):
    """Runs the command line as a user does, in an empty folder.

    Each command is a process of its own; TensorFlow and Keras are imported in it
    already, which saves 4 s, unless `imported` is false.
    """

    def run(*arguments, cwd=tmp_path, env=None, timeout=300, imported=True):
        command = ("-m", "kerascale", *arguments)
        of = forks if imported else None
        return _finished(of, command, cwd, env, timeout)

    return run


@pytest.fixture(scope="session")
def recipe():
    """The recipe `mlp`, the quickest."""
    import kerascale

    return kerascale.load_recipe("mlp")


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    """A small finished run of it."""
    import kerascale

    folder = tmp_path_factory.mktemp("trained") / "run"
    config = recipe.Config(epochs=4, units=(16,))
    return kerascale.train(recipe, config, run_dir=folder)


@pytest.fixture
def recipe_with(recipe):
    """Makes a recipe module as `mlp` is, with other data."""

    def make(make_datasets):
        module = types.ModuleType("mine")
        module.__file__ = "mine.py"
        module.Config = recipe.Config
        module.make_datasets = make_datasets
        module.make_model = recipe.make_model
        return module

    return make


@pytest.fixture
def disk(tmp_path):
    """A folder that is a disk of eight megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "kerascale-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"mount cannot be run ({error.strerror})")
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
