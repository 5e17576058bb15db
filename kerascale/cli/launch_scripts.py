"""`kerascale launch tpu|skypilot --write ... -- train RECIPE ...`."""

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence

from kerascale.cli import parsing
from kerascale.config.fields import PositiveInt, check
from kerascale.errors import RefusedError
from kerascale.launch import text_files
from kerascale.launch.run_dirs import run_dir_of
from kerascale.launch.scripts import skypilot, tpu

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_BUCKET = re.compile(r"(s3|gs)://[a-z0-9][-a-z0-9._]+(/[^\s]*)?")
_NEVER_RUN = "It was never run there: read it first."


@dataclasses.dataclass(frozen=True, kw_only=True)
class TpuOptions:
    """Write shell scripts that train a recipe on a pod of TPU VMs, with gcloud.

    They were never run on a TPU.
    """

    write: str
    """The folder to write them into."""
    name: str
    """The TPU's name."""
    zone: str
    """Its zone, such as us-central2-b."""
    force: bool = False
    """Write over files of these names that say something else."""

    def __post_init__(self) -> None:
        _refuse("tpu", check(self), {"name": self.name, "zone": self.zone})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkypilotOptions:
    """Write a task with which SkyPilot trains a recipe on several nodes.

    It was never run by SkyPilot.
    """

    write: str
    """The file to write."""
    workers: PositiveInt = 1
    """Nodes, with one process each."""
    name: str = "kerascale"
    """The task's name."""
    accelerators: str | None = None
    """Of each node, such as A100:1. Default: CPUs."""
    bucket: str | None = None
    """A bucket, s3://NAME or gs://NAME, that is mounted at runs/."""
    force: bool = False
    """Write over a file that says something else."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.bucket is not None and not _BUCKET.fullmatch(self.bucket):
            problems.append(
                f"bucket: expected s3://NAME or gs://NAME. Received: {self.bucket!r}."
            )
        _refuse("skypilot", problems, {"name": self.name})


def _refuse(where: str, problems: list[str], names: Mapping[str, str]) -> None:
    problems += [
        f"{field}: expected small letters, digits and hyphens, a letter first. "
        f"Received: {value!r}."
        for field, value in names.items()
        if not _NAME.fullmatch(value)
    ]
    if problems:
        raise RefusedError(problems, heading=f"launch {where}")


def write_tpu(own: Sequence[str], command: Sequence[str]) -> int:
    """Writes the scripts of `train ...` for a pod of TPU VMs."""
    options = parsing.parse(TpuOptions, own, program="kerascale launch tpu")
    run_dir, command = run_dir_of(list(command))
    pod = tpu.Pod(options.name, options.zone, [*command, f"--run-dir={run_dir}"])
    folder = pathlib.Path(options.write)
    texts = {folder / name: text for name, text in tpu.scripts(pod).items()}
    _write(texts, options.force)
    start = shlex.quote(str(folder / tpu.START))
    print(
        f"Written into {options.write}: {tpu.START}, {tpu.WORKER}. {_NEVER_RUN}\n\n"
        f"Start:  bash {start}\n\nThe run will be in {run_dir} on the first host."
    )
    return 0


def write_skypilot(own: Sequence[str], command: Sequence[str]) -> int:
    """Writes the task of `train ...` for SkyPilot."""
    options = parsing.parse(SkypilotOptions, own, program="kerascale launch skypilot")
    try:
        import yaml
    except ImportError as error:
        raise RefusedError(
            "launch skypilot: expected the package pyyaml, which writes the task. "
            "Received: none. Run: pip install 'kerascale[kubernetes]'"
        ) from error
    run_dir, command = run_dir_of(list(command))
    asked = skypilot.Task(
        options.name,
        options.workers,
        options.accelerators,
        options.bucket,
        [*command, f"--run-dir={run_dir}"],
    )
    text = yaml.safe_dump(skypilot.task(asked), sort_keys=False, width=100)
    _write({pathlib.Path(options.write): text}, options.force)
    file = shlex.quote(options.write)
    print(
        f"Written: {options.write}. {_NEVER_RUN}\n\n"
        f"Start:  sky launch {file}\n\nThe run will be in {run_dir} on each node."
    )
    return 0


def _write(texts: Mapping[pathlib.Path, str], force: bool) -> None:
    other = text_files.changed(texts)
    if other and not force:
        raise RefusedError(
            f"write: expected files that say nothing else. Received: "
            f"{', '.join(map(str, other))}. Pass --force True, or another name."
        )
    text_files.write(texts)
