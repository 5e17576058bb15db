"""`kerascale doctor`: whether this machine is fit to train on."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Annotated

from kerascale.cli import parsing
from kerascale.cli.results import finish_report
from kerascale.config.fields import Limits, PositiveFloat, check
from kerascale.errors import EXIT_DONE, EXIT_FAILED, RefusedError

_DESCRIPTION = """\
Look at this machine before anything is trained on it.

Looks at versions, processor, threads, memory, disks, TF_CONFIG, ports, devices, the
speed of a matrix product, and a sum over two processes. Each finding is in order, a
warning or wrong, with the way to mend it. Exit code 0: nothing is wrong; 1: something.

Example: kerascale doctor --run-dir runs --port 8501
On a cluster: srun kerascale doctor --cluster --run-dir /shared/runs
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags of `doctor`."""

    run_dir: str = "runs"
    """Where runs will be written: its disk is looked at. It need not be there."""
    port: Annotated[int, Limits(at_least=1, at_most=65535)] | None = None
    """A port that should be free. Default: whether any can be opened."""
    quick: bool = False
    """Leave out what takes more than a few seconds: devices, peak and collective."""
    cluster: bool = False
    """Look at all workers of TF_CONFIG or of a Slurm step: each of them types it."""
    data: str | None = None
    """With --cluster: a file or folder whose sha256 should be the same on all."""
    limit_seconds: PositiveFloat = 120.0
    """How long each check that needs TensorFlow may take; and to wait for others."""
    json: bool = False
    """Print the findings as one JSON object, the last line of standard output."""

    def __post_init__(self) -> None:
        problems = check(self)
        if self.data is not None and not self.cluster:
            problems.append("data: expected --cluster with it. Received: none.")
        if problems:
            raise RefusedError(problems, heading="doctor")


def run(arguments: Sequence[str]) -> int:
    options = parsing.parse(
        Options, arguments, program="kerascale doctor", description=_DESCRIPTION
    )
    from kerascale.diagnostics import doctor

    began = time.monotonic()
    if options.cluster:
        report, tells = doctor.cluster.examine(
            run_dir=pathlib.Path(options.run_dir),
            data=None if options.data is None else pathlib.Path(options.data),
            quick=options.quick,
            limit_seconds=options.limit_seconds,
        )
        if not tells:  # The first worker does.
            return EXIT_DONE if report else EXIT_FAILED
        return finish_report(report, as_json=options.json, began=began)
    report = doctor.examine(
        run_dir=pathlib.Path(options.run_dir),
        port=options.port,
        quick=options.quick,
        limit_seconds=options.limit_seconds,
    )
    return finish_report(report, as_json=options.json, began=began)
