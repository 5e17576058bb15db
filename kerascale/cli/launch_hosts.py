"""`kerascale launch hosts --hosts N -- train RECIPE ...`, typed once on each host."""

import dataclasses
import pathlib
import re
import socket
import sys
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.fields import (
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    check,
)
from kerascale.errors import RefusedError
from kerascale.launch.run_dirs import given_run_dir

_PROGRAM = "kerascale launch hosts"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DESCRIPTION = """\
Train on several hosts, and go on when one of them is lost.

Example: kerascale launch hosts --hosts 3 --min-workers 2 -- train cnn --run-dir runs/a

Typed on each host; the run folder is on a file system that all of them share. A host
that is lost is left out, and taken in again when it is back, from the last checkpoint.
Beside the run folder, DIR.hosts holds what the hosts tell each other, and their logs.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `launch hosts` itself."""

    hosts: PositiveInt
    """Hosts that the job should have; it begins when all of them are there."""
    min_workers: NonNegativeInt = 0
    """How many it goes on with when others are lost; 0: with all of them only."""
    name: str = ""
    """Of this host, another one on each; empty: its host name."""
    address: str = ""
    """At which the other hosts reach this one; empty: its host name."""
    max_restarts: NonNegativeInt = 3
    """How often workers that failed are started again; lost hosts do not count."""
    stuck_seconds: PositiveFloat = 30.0
    """Seconds without a step after which a worker is taken for stuck and killed;
    twenty times as long where it compiles, reads or writes."""
    lost_seconds: PositiveFloat = 15.0
    """Seconds without a sign of life after which a host is taken for lost."""
    start_timeout: PositiveFloat = 300.0
    """Seconds that missing hosts are waited for; then the job begins with
    --min-workers, or ends with exit code 75."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.min_workers > self.hosts:
            problems.append(
                f"min_workers: expected at most {self.hosts}, as --hosts says. "
                f"Received: {self.min_workers}."
            )
        if self.name and not _NAME.fullmatch(self.name):
            problems.append(
                "name: expected letters, digits, dots, underscores and hyphens. "
                f"Received: {self.name!r}."
            )
        if problems:
            raise RefusedError(problems, heading="launch hosts")


def run(own: Sequence[str], command: Sequence[str]) -> int:
    """Looks after this host until the job is over.

    Args:
        own: Flags of `launch hosts`.
        command: `train RECIPE ...`.

    Returns:
        The exit code of the job.

    Raises:
        RefusedError: Naming everything that is wrong.
    """
    problems: list[str] = []
    options = None
    try:
        options = parsing.parse(
            Options, own, program=_PROGRAM, description=_DESCRIPTION
        )
    except RefusedError as error:
        problems += error.problems
    run_dir = given_run_dir(command)
    if run_dir is None:
        problems.append(
            "behind --: expected --run-dir DIR, the same on all hosts, on a file "
            "system that they share. Received: none."
        )
    here = socket.gethostname()
    address = (options and options.address) or here
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        problems.append(
            f"address: expected one that the other hosts can look up. Received: "
            f"{address!r}: {error.strerror or error}. Name it with --address."
        )
    if problems or options is None:
        raise RefusedError(problems, heading="launch hosts")

    from kerascale.launch.elastic import agent

    made = agent.Options(
        hosts=options.hosts,
        min_workers=options.min_workers or options.hosts,
        name=options.name or here,
        address=address,
        max_restarts=options.max_restarts,
        stuck_seconds=options.stuck_seconds,
        lost_seconds=options.lost_seconds,
        start_timeout=options.start_timeout,
    )
    folder = pathlib.Path(f"{run_dir}.hosts")
    return agent.run([sys.executable, "-m", "kerascale", *command], folder, made)
