"""A run and its folder: what training leaves behind, and how it is loaded again."""

import dataclasses
import json
import os
import pathlib
import platform
import subprocess
from typing import Any

import filelock

from kerascale._version import __version__
from kerascale.errors import RefusedError
from kerascale.fields import from_dict, to_dict

CONFIG = "config.json"
HISTORY = "history.csv"
METRICS = "metrics.jsonl"
EVALUATION = "evaluation.json"
MODEL = "model.keras"
VECTORIZER = "vectorizer.keras"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
_LOCK = ".lock"


@dataclasses.dataclass
class Run:
    """A finished run: the trained model and all that belongs to it.

    Args:
        model: The trained core: it takes numbers.
        config: The recipe's configuration.
        recipe: The recipe's source, as `load_recipe` takes it.
        info: What is known of its data (`kerascale.datasets.DataInfo`).
        history: Metric -> one value per epoch.
        metrics: The final evaluation on the held-out examples.
        path: The run folder.
        vectorizer: The layer from strings to the ids that `model` takes; or None.
    """

    model: Any
    config: Any
    recipe: str
    info: Any
    history: dict[str, list[float]]
    metrics: dict[str, Any]
    path: pathlib.Path
    vectorizer: Any = None

    @property
    def serving_model(self) -> Any:
        """The model with its preprocessing in front: what is exported."""
        if self.vectorizer is None:
            return self.model
        import keras

        texts = keras.Input((), dtype="string", name="text")
        return keras.Model(texts, self.model(self.vectorizer(texts)), name="serving")


class RunFolder:
    """A new run folder, held by this process until it is closed.

    Args:
        path: The folder; it must be new or empty. None: `runs/RECIPE/N`, with the
            first free number.
        recipe_name: The recipe's name.

    Raises:
        RefusedError: If the folder holds something, is held by another process, or
            cannot be written.
    """

    def __init__(self, path: str | os.PathLike | None, recipe_name: str) -> None:
        try:
            if path is None:
                self.path = _new_numbered(pathlib.Path("runs") / recipe_name)
            else:
                self.path = pathlib.Path(path)
                self.path.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.FileLock(self.path / _LOCK)
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise RefusedError(
                f"run_dir: {self.path} is held by another run that is going on. "
                "Name another folder with --run-dir."
            ) from error
        except OSError as error:
            raise RefusedError(
                f"run_dir: expected a folder that can be written. Received: "
                f"{error.filename or path} ({error.strerror}). Name another folder "
                "with --run-dir."
            ) from error
        found = sorted(p.name for p in self.path.iterdir() if p.name != _LOCK)
        if found:
            self.close()
            raise RefusedError(
                f"run_dir: expected a new or empty folder. Received: {self.path}, "
                f"which holds {', '.join(found[:5])}. Name another folder with "
                "--run-dir."
            )
        (self.path / CHECKPOINTS).mkdir()

    def close(self) -> None:
        """Lets other processes have the folder."""
        self._lock.release()
        (self.path / _LOCK).unlink(missing_ok=True)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Writes a file that is either whole or absent."""
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.path / name)

    def write_config(self, recipe: Any, config: Any, info: Any, strategy: str) -> None:
        """Writes what the run is, before its first step."""
        self.write_json(
            CONFIG,
            {
                "recipe": recipe.source,
                "fields": to_dict(config),
                "strategy": strategy,
                "data": info.to_json(),
                "versions": _versions(),
                "git_revision": _git_revision(),
            },
        )


def _new_numbered(parent: pathlib.Path) -> pathlib.Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1 + max(
        (int(p.name) for p in parent.iterdir() if p.name.isdecimal()), default=0
    )
    while True:
        try:
            (parent / str(number)).mkdir()
            return parent / str(number)
        except FileExistsError:  # Another process took the number just now.
            number += 1


def _versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {
        "kerascale": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _git_revision() -> str | None:
    """The revision of the folder that the run was started in, if it has one."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def read_json(path: str | os.PathLike, name: str) -> dict[str, Any]:
    """A JSON file of a run folder.

    Raises:
        RefusedError: If `path` is no run folder, or the file is damaged.
    """
    file = pathlib.Path(path) / name
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(
            f"run: expected the folder of a finished run. Received: {path}, which has "
            f"no readable {name} ({error.strerror})."
        ) from error
    except ValueError as error:
        raise RefusedError(f"run: {file} is damaged ({error}).") from error


def load_run(path: str | os.PathLike) -> Run:
    """Loads a finished run.

    Args:
        path: The run folder.

    Returns:
        The run: model, configuration, history and metrics.

    Raises:
        RefusedError: If it is no finished run's folder.
    """
    import keras

    from kerascale import datasets, layers, models, optimizers, registry

    del layers, models, optimizers  # Registers their classes with Keras.
    path = pathlib.Path(path)
    content = read_json(path, CONFIG)
    metrics = read_json(path, EVALUATION)
    recipe = registry.load_recipe(content["recipe"])
    try:
        model = keras.saving.load_model(path / MODEL)
        vectorizer = None
        if (path / VECTORIZER).exists():
            vectorizer = keras.saving.load_model(path / VECTORIZER).layers[-1]
        history = _read_history(path / HISTORY)
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"run: expected the folder of a finished run. Received: {path} ({error})."
        ) from error
    return Run(
        model=model,
        config=from_dict(recipe.Config, content["fields"]),
        recipe=content["recipe"],
        info=datasets.DataInfo.from_json(content["data"]),
        history=history,
        metrics=metrics,
        path=path,
        vectorizer=vectorizer,
    )


def _read_history(path: pathlib.Path) -> dict[str, list[float]]:
    import pandas

    if not path.exists() or path.stat().st_size == 0:  # A run of no epochs.
        return {}
    table = pandas.read_csv(path, float_precision="round_trip")
    return table.drop(columns="epoch").to_dict("list")
