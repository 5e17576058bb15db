"""How long a request takes, measured in turns, so that load falls on all alike."""

import contextlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.compression.formats.rungs import Rung
from kerascale.compression.measuring import runtime

BATCHES = (1, 32)
_ROUNDS = 11
# In each round, for each rung and size of batch.
_SECONDS = 0.04
_MOST_CALLS = 200
_FEWEST_CALLS = 5


def measure(
    rungs: Mapping[Rung, tuple[pathlib.Path, str]],
    inputs: Mapping[str, str],
    threads: int,
) -> dict[Rung, dict[str, dict[str, float]]]:
    """Times each rung in its own runtime, a process for each runtime.

    Args:
        rungs: Rung -> its file or folder, and the signature to call.
        inputs: Name -> a file with an array of examples.
        threads: How many threads a runtime computes with.

    Returns:
        Rung -> size of the batch, as text -> `median` and `p99`, seconds a call.
    """
    with contextlib.ExitStack() as stack:
        processes = {
            name: stack.enter_context(runtime.started(name, threads))
            for name in {rung.runtime for rung in rungs}
        }
        for rung, (path, signature) in rungs.items():
            processes[rung.runtime].ask(
                do="load", name=str(rung), path=str(path), signature=signature
            )

        def ask(rung: Rung, size: int, number: int, warm_up: int) -> list[float]:
            reply = processes[rung.runtime].ask(
                do="time",
                name=str(rung),
                batch=size,
                inputs=dict(inputs),
                number=number,
                warm_up=warm_up,
            )
            return reply["seconds"]

        seconds: dict[tuple[Rung, int], list[float]] = {}
        numbers = {}
        for rung in rungs:
            for size in BATCHES:
                # The shortest: other load makes a call longer, never shorter.
                first = min(ask(rung, size, _FEWEST_CALLS, 3))
                number = int(_SECONDS / max(first, 1e-9))
                numbers[rung, size] = min(max(number, _FEWEST_CALLS), _MOST_CALLS)
        for _ in range(_ROUNDS):
            for (rung, size), number in numbers.items():
                seconds.setdefault((rung, size), []).extend(ask(rung, size, number, 1))
    return {
        rung: {str(size): _summary(seconds[rung, size]) for size in BATCHES}
        for rung in rungs
    }


def _summary(seconds: Sequence[float]) -> dict[str, Any]:
    return {
        "median": float(np.median(seconds)),
        "p99": float(np.percentile(seconds, 99)),
        "calls": len(seconds),
    }
