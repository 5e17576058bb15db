"""`kerascale launch slurm ... -- train RECIPE ...`, and what follows on it."""

import dataclasses
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from kerascale.cli import parsing
from kerascale.config.fields import (
    NonNegativeInt,
    PositiveInt,
    check,
)
from kerascale.errors import RefusedError
from kerascale.launch.run_dirs import run_dir_of, study_of
from kerascale.launch.slurm import jobs
from kerascale.launch.slurm.script import Job, script

_PROGRAM = "kerascale launch slurm"
_TIME = re.compile(r"\d+|\d+:\d\d(:\d\d)?|\d+-\d+(:\d\d(:\d\d)?)?")
_OPTION = re.compile(r"[a-z][a-z-]*=[^\n]*")
_FOLLOW_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Submit a training to Slurm: it goes on until its run is finished."""

    nodes: PositiveInt = 1
    """Nodes of the job."""
    min_nodes: PositiveInt | None = None
    """Each start takes as many nodes as Slurm can give at once, from so many on.
    Default: all of --nodes."""
    workers_per_node: PositiveInt = 1
    """Workers that each node has."""
    time: str | None = None
    """Limit of one start, such as 8:00:00; then the job is requeued and goes on."""
    partition: str | None = None
    """The partition."""
    account: str | None = None
    """Who pays."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs that each node gives."""
    cpus_per_worker: NonNegativeInt = 0
    """Cores for each worker; 0: what the cluster gives."""
    memory: str | None = None
    """Of each node, such as 64G."""
    sbatch: tuple[str, ...] = ()
    """Other options of sbatch, such as qos=low constraint=a100."""
    setup: str = ""
    """Shell commands before the workers start, such as 'module load cuda'."""
    seeds: tuple[int, ...] = ()
    """An array of jobs, one for each seed: RUN_DIR-seedN."""
    searches: PositiveInt = 1
    """Of tune: an array of so many jobs, which work on one study."""
    save_seconds: PositiveInt = 120
    """How long before the time limit the run is asked to save and to stop."""
    max_restarts: NonNegativeInt = 3
    """How often it is started again after a failure."""
    dry_run: bool = False
    """Print the script, and submit nothing."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.time is not None and not _TIME.fullmatch(self.time):
            problems.append(
                "time: expected minutes, or hours:minutes:seconds, or days-hours. "
                f"Received: {self.time!r}."
            )
        problems += [
            f"sbatch: expected name=value. Received: {option!r}."
            for option in self.sbatch
            if not _OPTION.fullmatch(option)
        ]
        if not problems and (self.min_nodes or 1) > self.nodes:
            problems.append(
                f"min_nodes: expected no more than nodes ({self.nodes}). Received: "
                f"{self.min_nodes}."
            )
        if len(set(self.seeds)) < len(self.seeds):
            problems.append(f"seeds: expected each once. Received: {list(self.seeds)}.")
        if problems:
            raise RefusedError(problems, heading="launch slurm")


def submit(own: Sequence[str], command: Sequence[str]) -> int:
    """Submits `train ...` or `tune ...` as a job.

    Args:
        own: The flags of `launch slurm`.
        command: What stands behind `--`.
    """
    options = parsing.parse(Options, own, program=_PROGRAM)
    is_search = bool(command) and command[0] == "tune"
    if is_search:
        run_dir, command = _search(options, list(command))
    else:
        run_dir, command = run_dir_of(list(command))
        if options.searches > 1:
            raise RefusedError(
                "searches: expected with tune behind --. Received: "
                f"{options.searches} with train. An array of trainings: --seeds"
            )
    job = Job(
        name=f"kerascale-{command[1] if len(command) > 1 else 'train'}".replace(
            "/", "-"
        ),
        nodes=options.nodes,
        min_nodes=options.min_nodes,
        tasks_per_node=options.workers_per_node,
        time=options.time,
        save_seconds=options.save_seconds,
        restarts=options.max_restarts,
        options=_asked(options),
        seeds=options.seeds,
        setup=options.setup,
        searches=options.searches if is_search else None,
    )
    program = [sys.executable, "-m", "kerascale", *command]
    text = script(job, program, run_dir, os.getcwd())
    if options.dry_run:
        print(text, end="")
        return 0
    jobs.refuse_second(run_dir)
    number = jobs.submit(text, run_dir)
    print(
        f"Submitted job {number}. The {'study' if is_search else 'run'} will be in "
        f"{run_dir}\n"
        f"How it is:  {_PROGRAM} status {run_dir}\n"
        f"Its log:    {_PROGRAM} logs {run_dir}"
    )
    return 0


def _search(options: Options, command: list[str]) -> tuple[str, list[str]]:
    """The folder of the study, and the command, which lets all of them work."""
    if options.seeds:
        raise RefusedError(
            f"seeds: expected with train behind --. Received: {list(options.seeds)} "
            "with tune. An array of jobs on one study: --searches N"
        )
    study, command = study_of(command)
    at_once = options.searches * options.nodes * options.workers_per_node
    jobs_each = parsing.value_of(command, "--jobs") or "1"
    at_once *= int(jobs_each) if jobs_each.isdigit() else 1
    if parsing.value_of(command, "--concurrency") is None:
        command += ["--concurrency", str(max(at_once, 4))]
    if at_once > 1 and parsing.value_of(command, "--storage") is None:
        print(
            "note: the study is in SQLite, which is for one host: name a server with "
            "--storage if these jobs are on several",
            file=sys.stderr,
        )
    return study, command


def _asked(options: Options) -> dict[str, str]:
    named = {
        "partition": options.partition,
        "account": options.account,
        "gpus-per-node": options.gpus_per_node or None,
        "cpus-per-task": options.cpus_per_worker or None,
        "mem": options.memory,
    }
    found = {name: str(v) for name, v in named.items() if v is not None}
    return found | dict(option.split("=", 1) for option in options.sbatch)


def _status(run_dir: str) -> int:
    print("\n".join(jobs.status(run_dir)))
    log = pathlib.Path(f"{run_dir}.slurm.log")
    if log.exists() and (lines := log.read_text(errors="replace").splitlines()):
        print(f"last line: {lines[-1]}")
    return 0


def _logs(run_dir: str) -> int:
    """Shows the log, and what is added while the job is not ended."""
    log = pathlib.Path(f"{run_dir}.slurm.log")
    shown = 0
    while True:
        is_ended = jobs.status(run_dir)[0].endswith(": ended")
        text = log.read_bytes() if log.exists() else b""
        sys.stdout.write(text[shown:].decode(errors="replace"))
        sys.stdout.flush()
        shown = len(text)
        if is_ended:
            return 0
        time.sleep(_FOLLOW_SECONDS)


def _cancel(run_dir: str) -> int:
    number = jobs.cancel(run_dir)
    print(
        f"Job {number} is asked to save and to end. The same command goes on with it."
    )
    return 0


# Behind `launch slurm`, with a run folder.
ACTIONS: dict[str, Callable[[str], Any]] = {
    "status": _status,
    "logs": _logs,
    "cancel": _cancel,
}


def act(arguments: Sequence[str]) -> int:
    """`status`, `logs` or `cancel` of a run folder."""
    name, *rest = arguments
    if len(rest) != 1:
        raise RefusedError(
            f"launch slurm {name}: expected one run folder. Received: "
            f"{' '.join(rest) or 'none'}."
        )
    return ACTIONS[name](rest[0].rstrip("/"))
