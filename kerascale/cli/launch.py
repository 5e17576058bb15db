"""`kerascale launch --workers N -- train RECIPE ...`, here or on a cluster."""

import dataclasses
import sys
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.fields import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    check,
    nearest,
)
from kerascale.errors import RefusedError

_USAGE = "--workers N [--devices-per-worker M] -- train RECIPE [--field value ...]"
# What is worth running as several workers.
_COMMANDS = ("train", "doctor")
_ON_CLUSTERS = {
    "slurm": ("train", "tune"),
    "kubernetes": ("train",),
    "hosts": ("train",),
    "tpu": ("train",),
    "skypilot": ("train",),
}
_CLUSTERS = tuple(_ON_CLUSTERS)
_DESCRIPTION = """\
Run a command on several local worker processes, which train one model together.

Example: kerascale launch --workers 2 -- train mlp --epochs 3

What stands behind -- is the command, with its own flags. The first worker prints the
result; the messages of all of them appear with the worker's name before them. When
one fails or is stuck, all are stopped and started again: they go on at the step of the
last checkpoint. Ctrl-C and SIGTERM are passed on to all.

On a cluster: kerascale launch slurm --help, kerascale launch kubernetes --help; on
several hosts without one: kerascale launch hosts --help. Scripts that were never run:
kerascale launch tpu --help, kerascale launch skypilot --help.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `launch` itself."""

    workers: PositiveInt
    """Number of worker processes."""
    devices_per_worker: PositiveInt = 1
    """Devices that each worker trains on: its own GPUs, or parts of the CPU."""
    max_restarts: NonNegativeInt = 3
    """How often a job that failed is started again from its last checkpoint."""
    stuck_seconds: PositiveFloat = 30.0
    """Seconds without a step after which a worker is taken for stuck and killed;
    twenty times as long where it compiles, reads or writes."""
    backoff_seconds: NonNegativeFloat = 1.0
    """Seconds before the first restart; the pause doubles with each one."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading="launch")


def run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] in _CLUSTERS:
        return _on_a_cluster(arguments[0], arguments[1:])
    own, command = _split(list(arguments))
    if parsing.wants_help(own):
        _parse(["--help"])
    if command is None:
        raise RefusedError(
            "expected -- between the flags of launch and the command. Received: "
            f"{' '.join(own) or 'nothing'}. Usage: kerascale launch {_USAGE}"
        )
    problems = _command_problems(command)
    is_look = command[:1] == ["doctor"]
    if is_look and "--cluster" not in command:
        problems.append(
            "behind --: expected doctor --cluster, which looks at all workers. "
            "Received: doctor alone. Add --cluster, or type kerascale doctor by itself."
        )
    try:
        options = _parse(own)
    except RefusedError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise RefusedError(
            problems, heading="wrong arguments (kerascale launch --help documents them)"
        )
    if parsing.wants_help(command):
        from kerascale import cli

        return cli.main(command)

    from kerascale.launch import launch

    return launch(
        [sys.executable, "-m", "kerascale", *command],
        workers=options.workers,
        devices_per_worker=options.devices_per_worker,
        # What a look has found, it finds again.
        max_restarts=0 if is_look else options.max_restarts,
        stuck_seconds=options.stuck_seconds,
        backoff_seconds=options.backoff_seconds,
    )


def _on_a_cluster(where: str, arguments: Sequence[str]) -> int:
    from kerascale.cli import (
        launch_hosts,
        launch_kubernetes,
        launch_scripts,
        launch_slurm,
    )

    if where == "slurm" and arguments and arguments[0] in launch_slurm.ACTIONS:
        return launch_slurm.act(arguments)
    do = {
        "slurm": launch_slurm.submit,
        "kubernetes": launch_kubernetes.write,
        "hosts": launch_hosts.run,
        "tpu": launch_scripts.write_tpu,
        "skypilot": launch_scripts.write_skypilot,
    }[where]
    own, command = _split(list(arguments))
    if parsing.wants_help(own):
        return do(["--help"], [])
    if command is None:
        raise RefusedError(
            f"{where}: expected -- between its flags and the command. Received: "
            f"{' '.join(own) or 'nothing'}. Usage: kerascale launch {where} "
            "[--flag value ...] -- train RECIPE [--field value ...]"
        )
    problems = _command_problems(command, _ON_CLUSTERS[where])
    if problems:
        raise RefusedError(problems, heading=where)
    return do(own, command)


def _split(arguments: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before `--`, and what behind it; None if there is no `--`."""
    if "--" not in arguments:
        return arguments, None
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _parse(arguments: Sequence[str]) -> Options:
    return parsing.parse(
        Options, arguments, program="kerascale launch", description=_DESCRIPTION
    )


def _command_problems(
    command: Sequence[str], known: Sequence[str] = _COMMANDS
) -> list[str]:
    if command and command[0] in known:
        return []
    received = command[0] if command else "nothing"
    suggestion = nearest(command[0], known) if command else ""
    return [
        f"behind --: expected a command that can be launched: {', '.join(known)}. "
        f"Received: {received}.{suggestion}"
    ]
