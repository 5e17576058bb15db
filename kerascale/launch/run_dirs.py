"""The run folder of a job on a cluster: one that goes on needs a name beforehand."""

import pathlib
from collections.abc import Sequence

from kerascale.launch.slurm import jobs
from kerascale.runtime import remote_paths


def given_run_dir(command: Sequence[str]) -> str | None:
    """The run folder that a command names.

    Args:
        command: `train RECIPE ...`.
    """
    found, _ = _taken_out(list(command), "--run-dir")
    return found


def run_dir_of(command: list[str]) -> tuple[str, list[str]]:
    """The run folder that is asked for, or the next free one.

    Args:
        command: `train RECIPE ...`.

    Returns:
        The folder, and the command without it.
    """
    return _folder_of(command, "--run-dir", "runs/{recipe}/{number}")


def study_of(command: list[str]) -> tuple[str, list[str]]:
    """The folder of a study that is asked for, or the next free one.

    Args:
        command: `tune RECIPE ...`.

    Returns:
        The folder, and the command without it.
    """
    return _folder_of(command, "--study", "studies/{recipe}-{number}")


def _folder_of(command: list[str], flag: str, pattern: str) -> tuple[str, list[str]]:
    found, rest = _taken_out(command, flag)
    remote_paths.refuse(flag, found, remote_paths.WRITE_HERE)
    if found is not None:
        return found, rest
    recipe = pathlib.Path(command[1]).stem if len(command) > 1 else "train"
    number = 1
    while _is_taken(pattern.format(recipe=recipe, number=number)):
        number += 1
    return pattern.format(recipe=recipe, number=number), command


def _taken_out(command: list[str], flag: str) -> tuple[str | None, list[str]]:
    for place, word in enumerate(command):
        name, _, value = word.partition("=")
        if name.replace("_", "-") == flag:
            if value:
                return value.rstrip("/"), command[:place] + command[place + 1 :]
            given = command[place + 1 : place + 2]
            if given:
                return given[0].rstrip("/"), command[:place] + command[place + 2 :]
    return None, command


def _is_taken(run_dir: str) -> bool:
    """By a run, or by a job that may not have begun one."""
    return any(pathlib.Path(run_dir + end).exists() for end in ("", jobs.RECORD))
