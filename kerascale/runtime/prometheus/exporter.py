"""A training that Prometheus can read, from before its first step to its end."""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping

from kerascale.errors import RefusedError, SaveFailedError, StoppedError
from kerascale.runtime import heartbeat
from kerascale.runtime.console import say
from kerascale.runtime.prometheus.endpoint import Endpoint, problems
from kerascale.runtime.prometheus.training_state import TrainingState

# For the next reading after a failure; Prometheus comes every minute by default.
_READING_SECONDS = 60.0


# What a disk says that takes nothing more.
_NO_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Host and port; port 0: any that is free; None: nothing is exported.
Address = tuple[str, int | None]


def refuse(address: Address) -> None:
    """Refuses an address that could not be listened on; nothing else is done.

    Raises:
        RefusedError: If a package, the address or the port cannot be had.
    """
    host, port = address
    found = [] if port is None else problems(host, port)
    if found:
        raise RefusedError(found, heading="metrics")


@contextlib.contextmanager
def exported(
    address: Address | None,
    labels: Mapping[str, str],
    checkpoint_seconds: float | None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[TrainingState | None]:
    """Within it the state of a training is exported.

    When it ends by a failure, and somebody has read regularly, it waits for their
    next reading: what they are woken by would be lost otherwise.

    Args:
        address: Where to listen; None: nothing is exported.
        labels: What tells the run from others.
        checkpoint_seconds: The longest planned time between two saves, or None.
        environ: Says how often the job was started again.

    Yields:
        What the training writes to; None if nothing is exported.

    Raises:
        RefusedError: If a package, the address or the port cannot be had.
    """
    host, port = address or ("", None)
    if port is None:
        yield None
        return
    state = TrainingState(labels, heartbeat.restarts(environ), checkpoint_seconds)
    with contextlib.closing(Endpoint(state, host, port)) as endpoint:
        say(f"metrics: {endpoint.url}")
        try:
            yield state
        except Exception as error:
            state.ended()
            if _is_unwritten(error):
                state.save_failed()
            if not isinstance(error, StoppedError):
                _wait_for_reader(endpoint)
            raise


def _is_unwritten(error: Exception) -> bool:
    """Whether a file is not saved; checkpoints count by themselves."""
    if isinstance(error, SaveFailedError):
        return error.step is None
    return isinstance(error, OSError) and error.errno in _NO_WRITING


def _wait_for_reader(endpoint: Endpoint) -> None:
    # Whoever watches over this process must not take it for stuck.
    heartbeat.beat(heartbeat.ENDING)
    # A request to stop ends the wait; what has failed is told of, not that.
    with contextlib.suppress(StoppedError):
        endpoint.wait_for_reader(_READING_SECONDS)
