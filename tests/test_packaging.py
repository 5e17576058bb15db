"""It works from a wheel and from a bare checkout, not only where it is edited."""

import configparser
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parent.parent
_SOURCES = ("kerascale", "recipes", "data")

_CHECK = """
import sys
import kerascale
from kerascale.cli import main
from kerascale.datasets.sources import embedded
assert kerascale.__file__.startswith(sys.argv[1]), kerascale.__file__
assert main(["recipes"]) == 0
assert len(embedded.digits().train) == 1347
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files that git would give: no installed metadata, no caches."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in _SOURCES:
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "-q", "--no-deps",
            "--no-build-isolation", "-w", folder, checkout,
        ],
        check=True,
        timeout=120,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return path


def _run_without_the_editable_install(folder, cwd):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    finished = subprocess.run(
        [sys.executable, "-c", _CHECK, str(folder)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "mlp" in finished.stdout


def test_bare_checkout(checkout, tmp_path):
    _run_without_the_editable_install(checkout, tmp_path)


def test_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    for name in (
        "kerascale/py.typed",
        "kerascale/recipes/mlp.py",
        "kerascale/data/digits/digits.csv",
        "kerascale/data/digits/README.md",
        "kerascale/runtime/prometheus/shipped/alerts.yml",
    ):
        assert name in names
    metadata = f"kerascale-{_version()}.dist-info/entry_points.txt"
    entry_points = (tmp_path / "site" / metadata).read_text()
    assert "[kerascale.recipes]\nkerascale = kerascale.recipes\n" in entry_points
    folders = {name.split("/")[0] for name in names}
    assert folders == {"kerascale", f"kerascale-{_version()}.dist-info"}
    _run_without_the_editable_install(tmp_path / "site", tmp_path)


def _version():
    import kerascale

    return kerascale.__version__


def test_every_package_is_listed():
    """Listed by hand: automatic discovery and package_dir do not mix."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    found = {
        ".".join(
            path.parent.relative_to(ROOT).parts
            if folder == "kerascale"
            else ("kerascale", *path.parent.relative_to(ROOT).parts)
        )
        for folder in _SOURCES
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert listed == found
    assert setup["options.entry_points"]["console_scripts"].strip() == (
        "kerascale = kerascale.cli:main"
    )
    # Other packages add theirs to this group: see the README.
    assert setup["options.entry_points"]["kerascale.recipes"].strip() == (
        "kerascale = kerascale.recipes"
    )
