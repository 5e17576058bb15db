"""`kerascale mirror RUN ADDRESS`."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.fields import PositiveFloat, PositiveInt, check
from kerascale.errors import RefusedError, StoppedError
from kerascale.runs import layout
from kerascale.runs.mirror.upload import ChangingError, Mirror
from kerascale.runtime import interrupts
from kerascale.runtime.console import counted, say

_PROGRAM = "kerascale mirror"
_USAGE = "RUN s3://BUCKET/KEY|gs://BUCKET/KEY [--follow True]"
_TRIES = 5
_LOOK_SECONDS = 0.5
# For a training that was asked to stop, too, to save.
_SAVE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Copy a run folder into an object store: its newest checkpoint, and all beside it.

    A copy is there when it is whole; kerascale fetch brings it back. It is made beside
    the training, by a process of its own."""

    follow: bool = False
    """Go on copying what is new until the run is finished."""
    every_seconds: PositiveFloat = 30.0
    """With --follow: how often to look."""
    keep: PositiveInt = 2
    """How many of the newest copies stay."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading=_PROGRAM)


def run(arguments: Sequence[str]) -> None:
    (folder, address), rest = parsing.positional(
        arguments, ["RUN", "ADDRESS"], program=_PROGRAM, usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program=f"{_PROGRAM} RUN ADDRESS")
    path = pathlib.Path(folder)
    if not options.follow and not (path / layout.CONFIG).is_file():
        raise RefusedError(
            f"mirror: expected a run folder. Received: {folder}, without a "
            f"{layout.CONFIG}. One that is still to come: --follow True."
        )
    mirror = Mirror(path, address, keep=options.keep)
    with interrupts.on_signals(), interrupts.between_steps():
        if options.follow:
            _follow(mirror, path, address, options.every_seconds)
            return
        if not _copied(mirror, address, _TRIES):
            say(f"mirror: {folder} has no whole checkpoint yet: nothing was copied")


def _follow(
    mirror: Mirror, path: pathlib.Path, address: str, every_seconds: float
) -> None:
    while True:
        try:
            is_new = _copied(mirror, address, 1)
        except (ConnectionError, ChangingError) as error:
            say(f"mirror: {error}: the next time")
            is_new = True
        if mirror.is_finished() and not is_new:
            say(f"mirror: the run is finished, and is in {address}")
            return
        until = time.monotonic() + every_seconds
        while time.monotonic() < until and not interrupts.requested():
            time.sleep(_LOOK_SECONDS)
        if interrupts.requested():
            # The training saves, and lets go of its folder.
            until = time.monotonic() + _SAVE_SECONDS
            while (path / layout.LOCK).exists() and time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
            _copied(mirror, address, _TRIES)
            raise StoppedError(None)


def _copied(mirror: Mirror, address: str, tries: int) -> bool:
    for attempt in range(tries):
        try:
            made = mirror.copy()
        except ChangingError:
            if attempt == tries - 1:
                raise
            time.sleep(_LOOK_SECONDS)
            continue
        if made is not None:
            say(
                f"mirror: step {made.step:,}, {counted(len(made.files), 'file')}: "
                f"in {address}"
            )
        return made is not None
    return False
