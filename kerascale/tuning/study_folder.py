"""The folder of a study: which search it is, and where its trials are."""

import json
import pathlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import filelock

from kerascale.runs import layout
from kerascale.runtime import atomic_files, remote_paths
from kerascale.tuning.wishes import Search

_LONGEST = 60


def default_folder(search: Search) -> pathlib.Path:
    """Where a search is if nobody says: the same command finds it again."""
    return pathlib.Path("studies", f"{search.recipe.name}-{search.name()}")


def check(folder: pathlib.Path, search: Search) -> list[str]:
    """Why a folder cannot be that of a search; creates nothing."""
    remote_paths.refuse("--study", folder, remote_paths.WRITE_HERE)
    if folder.exists() and not folder.is_dir():
        return [f"--study: expected a folder. Received: {folder}, which is none."]
    file = folder / layout.STUDY
    if not file.is_file():
        others = [] if not folder.is_dir() else sorted(p.name for p in folder.iterdir())
        ours = {layout.STUDY_DATABASE, layout.STUDY_LOCK, layout.TRIALS}
        unknown = [n for n in others if n not in ours and not n.startswith(".")]
        if unknown:
            return [
                "--study: expected a new or empty folder, or one of a study. Received: "
                f"{folder}, which holds {', '.join(unknown[:3])}."
            ]
        return []
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"--study: {file} is damaged ({error})."]
    return differences(before, search.identity(), str(folder))


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], where: str
) -> list[str]:
    """What is not the same in two searches, a message each."""
    problems = []
    if before.get("recipe") != now["recipe"]:
        return [
            f"--study: {where} is a study of the recipe {before.get('recipe')!r}. "
            f"Received: {now['recipe']!r}. Name another folder, or leave --study out."
        ]
    for name in now:
        old, new = before.get(name), now[name]
        if isinstance(new, dict) and isinstance(old, dict):
            for key in dict.fromkeys([*old, *new]):
                if old.get(key) != new.get(key):
                    problems.append(
                        _other(f"{name} {key}", old.get(key), new.get(key), where)
                    )
        elif old != new:
            problems.append(_other(name, old, new, where))
    return problems


def _other(name: str, old: Any, new: Any, where: str) -> str:
    return (
        f"--study: {name}: expected {_short(old)}, as in {where}. Received: "
        f"{_short(new)}. Name another folder, or leave --study out."
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


class StudyFolder:
    """The folder of a study, which several processes may use at the same time.

    Args:
        path: The folder.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        (path / layout.TRIALS).mkdir(exist_ok=True)
        self._claims: dict[int, filelock.FileLock] = {}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other process looks for a trial."""
        with filelock.FileLock(self.path / layout.STUDY_LOCK):
            yield

    def database(self) -> str:
        """Where the study is if nobody says."""
        return f"sqlite:///{(self.path / layout.STUDY_DATABASE).absolute()}"

    def write_identity(self, search: Search) -> None:
        """Says which search it is."""
        text = json.dumps(search.identity(), indent=2) + "\n"
        with atomic_files.replacing(self.path / layout.STUDY, shared=True) as file:
            file.write_text(text, encoding="utf-8")

    def is_begun(self) -> bool:
        return (self.path / layout.STUDY).is_file()

    def trial(self, number: int) -> pathlib.Path:
        """The run folder of a trial; with folds, the folder of its runs."""
        return self.path / layout.TRIALS / f"{number:04d}"

    def log(self, number: int) -> pathlib.Path:
        """What a trial has said."""
        return self.path / layout.TRIALS / f"{number:04d}.log"

    def claim(self, number: int) -> bool:
        """Takes a trial for this process, until it lets go or ends in any way.

        Returns:
            Whether it has it now; False: another process has.
        """
        lock = filelock.FileLock(self.path / layout.TRIALS / f".{number:04d}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return False
        self._claims[number] = lock
        return True

    def release(self, number: int) -> None:
        """Lets a trial go, which has ended or waits for another process."""
        self._claims.pop(number).release()

    def has(self, number: int) -> bool:
        """Whether this process has a trial."""
        return number in self._claims
