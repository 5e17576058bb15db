"""A process that trains one trial after the other: `python -m kerascale.tuning.worker`.

It reads jobs from standard input, a line of JSON each, and answers on what was its
standard output. What a training prints goes into the log of its trial.
"""

import gc
import json
import os
import sys
from typing import Any

from kerascale.errors import NonFiniteError, RefusedError, StoppedError, first_line


class Channel:
    """The two pipes to the process that gives the jobs."""

    def __init__(self) -> None:
        # Nothing else may write into it, or read from it.
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)

    def jobs(self) -> Any:
        """The jobs, until there are no more."""
        while line := self._in.readline():
            yield json.loads(line)

    def say(self, kind: str, **values: Any) -> None:
        """Says something of the job."""
        self._out.write(json.dumps({"is": kind, **values}) + "\n")
        self._out.flush()

    def goes_on(self, step: int, value: float) -> bool:
        """Says what was reached, and asks whether the training goes on."""
        self.say("reached", step=step, value=value)
        return json.loads(self._in.readline())["goes_on"]


def main() -> None:
    channel = Channel()
    # Here, as in the command line: programs of XLA are kept where its log is silent.
    from kerascale.runtime import tf_environment

    tf_environment.prepare()
    from kerascale.datasets import kept
    from kerascale.tuning import jobs

    kept.keep()
    # TensorFlow stays: what trials leave is found without looking through it.
    gc.freeze()
    for job in channel.jobs():
        _do(jobs.JOBS[job["do"]], job, channel)


def _do(work: Any, job: dict[str, Any], channel: Channel) -> None:
    """Does one job as if it were the first one of this process."""
    import keras

    if job.get("log"):
        os.makedirs(os.path.dirname(job["log"]), exist_ok=True)
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    # Names of layers are counted, and a recipe may have set a policy for all models.
    keras.backend.clear_session()
    try:
        answer = work(job, channel)
    except RefusedError as error:
        channel.say("refused", problems=error.problems, reason=first_line(error))
    except StoppedError:
        channel.say("stopped")
    except NonFiniteError as error:
        channel.say("failed", reason=f"diverged: {first_line(error)}")
    except Exception as error:
        import traceback

        traceback.print_exc()
        kind = type(error).__name__
        channel.say("failed", reason=f"{kind}: {first_line(error)}"[:500])
    else:
        channel.say(answer.pop("kind"), **answer)
    finally:
        sys.stderr.flush()
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
