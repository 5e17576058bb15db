"""How the harness and a contender talk: one JSON object a line, in turns.

The harness asks `{"do": NAME, ...}` on standard input; the answer comes on standard
output. `{"error": TEXT}` is an answer too, and the last one.

    load   makes data, model and optimizer     parameters, versions
    first  trains the first steps, unshuffled  seconds
    loss   of the first batches, in inference  loss
    run    trains whole epochs, shuffled       seconds, processor_seconds, steps
    peak   multiplies large matrices           flops (per second)
    usage                                      peak_bytes
    stop   ends
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import IO, Any, Protocol

_PR_SET_PDEATHSIG = 1
# A product of this size is far from what any cache holds.
PEAK_SIDE = 2048
_PEAK_SECONDS = 1.0


class Trainer(Protocol):
    """A contender with a workload."""

    def load(self) -> dict[str, Any]:
        """Makes everything; returns `parameters` and `versions`."""

    def first(self, steps: int) -> None:
        """Trains on the first batches of the data, in their order."""

    def loss(self, num: int) -> float:
        """The mean loss of the first `num` examples, in inference."""

    def run(self, epochs: int) -> dict[str, Any]:
        """Trains whole epochs, in a random order, and returns when they are done.

        What it returns goes into the answer.
        """

    def multiply(self) -> Callable[[], None]:
        """A product of two float32 matrices of side `PEAK_SIDE`, when called."""


def serve(trainer: Trainer, steps_per_epoch: int) -> None:
    """Answers until it is told to stop."""
    _die_with_parent()
    answers = _take_standard_output()
    for line in sys.stdin:
        message = json.loads(line)
        if message["do"] == "stop":
            return
        try:
            answer = _answer(trainer, message, steps_per_epoch)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if "error" in answer:
            return


def _answer(
    trainer: Trainer, message: dict[str, Any], steps_per_epoch: int
) -> dict[str, Any]:
    match message["do"]:
        case "load":
            return trainer.load()
        case "first":
            began = time.perf_counter()
            trainer.first(message["steps"])
            return {"seconds": time.perf_counter() - began}
        case "loss":
            return {"loss": float(trainer.loss(message["examples"]))}
        case "run":
            epochs = message["epochs"]
            used, began = time.process_time(), time.perf_counter()
            more = trainer.run(epochs)
            seconds = time.perf_counter() - began
            return {
                "seconds": seconds,
                "processor_seconds": time.process_time() - used,
                "steps": epochs * steps_per_epoch,
                **more,
            }
        case "peak":
            return {"flops": _peak(trainer.multiply())}
        case "usage":
            # Kilobytes on Linux.
            usage = resource.getrusage(resource.RUSAGE_SELF)
            return {"peak_bytes": usage.ru_maxrss * 1024}
    raise ValueError(f"do: expected a request of this protocol. Received: {message}")


def _peak(multiply: Callable[[], None]) -> float:
    multiply()
    best, ends = float("inf"), time.perf_counter() + _PEAK_SECONDS
    while time.perf_counter() < ends:
        began = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - began)
    return 2 * PEAK_SIDE**3 / best


def _take_standard_output() -> IO[str]:
    """Standard output for the answers alone; what else is printed goes to the log."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _die_with_parent() -> None:
    # A contender that is stopped by SIGSTOP would not notice that its input ends.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
