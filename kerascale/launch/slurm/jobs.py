"""Submits a job, asks how it is, shows what it wrote, ends it: by Slurm's commands."""

import json
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

from kerascale.errors import RefusedError

# Beside the run folder, which must be new when the run begins.
RECORD = ".slurm.json"
_SQUEUE = "%i|%T|%R|%M|%N"


def submit(text: str, run_dir: str) -> str:
    """Gives a script to Slurm; the job's number.

    Raises:
        RefusedError: If Slurm is not there, or does not take it.
    """
    record = pathlib.Path(run_dir + RECORD)
    record.parent.mkdir(parents=True, exist_ok=True)
    answer = _slurm(["sbatch", "--parsable"], text)
    job = answer.strip().partition(";")[0]
    record.write_text(json.dumps({"job": job, "script": text}, indent=2) + "\n")
    return job


def job_of(run_dir: str) -> str:
    """The number of the job that was submitted last for a run folder.

    Raises:
        RefusedError: If there was none.
    """
    path = pathlib.Path(run_dir.rstrip("/") + RECORD)
    try:
        return str(json.loads(path.read_text())["job"])
    except (OSError, ValueError, KeyError) as error:
        raise RefusedError(
            f"launch slurm: expected the run folder of a job, beside which {path.name} "
            f"lies. Received: {run_dir} ({type(error).__name__})."
        ) from error


def refuse_second(run_dir: str) -> None:
    """Refuses a run folder that a job which is not ended works on.

    Raises:
        RefusedError: Naming the job.
    """
    if not pathlib.Path(run_dir + RECORD).exists():
        return
    job = job_of(run_dir)
    states = [line.split("|")[1] for line in _queued(job)]
    if states:
        raise RefusedError(
            f"run_dir: expected a folder that no job works on. Received: {run_dir}, "
            f"which is that of job {job} ({states[0].lower()}). Cancel it (kerascale "
            f"launch slurm cancel {run_dir}), or take another --run-dir."
        )


def status(run_dir: str) -> list[str]:
    """How a job is, in lines."""
    job = job_of(run_dir)
    lines = []
    for line in _queued(job):
        number, state, reason, elapsed, nodes = line.split("|")
        where = f"on {nodes}" if nodes else reason
        lines.append(f"job {number}: {state.lower()}, {where}, for {elapsed}")
    return lines or [f"job {job}: ended"]


def cancel(run_dir: str) -> str:
    """Asks the workers of a job to save, and ends it; its number."""
    job = job_of(run_dir)
    _slurm(["scancel", job])
    return job


def _queued(job: str) -> list[str]:
    finished = subprocess.run(
        [_found("squeue"), "-h", "-r", "-j", job, "-o", _SQUEUE],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # It fails for a job that Slurm has forgotten.
    return finished.stdout.splitlines() if finished.returncode == 0 else []


def _slurm(command: Sequence[str], given: str | None = None) -> str:
    program = _found(command[0])
    finished = subprocess.run(
        [program, *command[1:]], input=given, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if finished.returncode:
        said = finished.stderr.strip() or f"exit code {finished.returncode}"
        raise RefusedError(
            f"launch slurm: expected Slurm to take it. Received: {command[0]}: {said}."
        )
    return finished.stdout


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise RefusedError(
            f"launch slurm: expected Slurm's {program} on this machine. Received: "
            "none. Run it on a login node, or see the script: --dry-run True."
        )
    return path
