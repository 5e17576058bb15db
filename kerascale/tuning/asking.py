"""One job for a worker, and its answer: done, refused or failed."""

from typing import Any

from kerascale.errors import RefusedError, StoppedError
from kerascale.runtime import interrupts
from kerascale.tuning.pool import Pool

# Between two looks at whether a signal came.
_LOOK_SECONDS = 0.2


class JobFailedError(RuntimeError):
    """A job that raised an error in its worker. Its text is the reason."""


def ask(pool: Pool, job: dict[str, Any]) -> dict[str, Any]:
    """Has a worker do one job, and returns what came of it.

    Args:
        pool: Its workers; one that waits for work does it, and stays.
        job: See `kerascale.tuning.jobs`.

    Raises:
        RefusedError: If it is refused, with all problems.
        JobFailedError: If it failed, with the reason.
        StoppedError: If a signal asked to stop; the worker has saved its state.
        RuntimeError: If the worker died.
    """
    with interrupts.between_steps():
        answer = _ask(pool, job)
    if answer["is"] == "refused":
        raise RefusedError(answer["problems"], heading="tune")
    if answer["is"] == "failed":
        raise JobFailedError(answer["reason"])
    return answer


def _ask(pool: Pool, job: dict[str, Any]) -> dict[str, Any]:
    worker = pool.free()
    worker.give(job, job)
    while True:
        if interrupts.requested():
            pool.stop()
            raise StoppedError(None)
        if worker not in pool.wait(_LOOK_SECONDS):
            continue
        messages = worker.received()
        if messages is None:
            how = pool.remove(worker)
            raise RuntimeError(f"the process that was to {job['do']} ended: {how}")
        for message in messages:
            if message["is"] == "stopped":
                raise StoppedError(None)
            if message["is"] == "reached":
                worker.send({"goes_on": True})
                continue
            worker.job = None
            return message
