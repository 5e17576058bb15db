"""Training from packed data against the same model on data in memory."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..checkpointing import VARIABLES
from ..contenders import TESTS, Process
from ..rounds import Bench, Plan
from ..statistics import Spread, epochs_for
from ..workload import load_all
from . import sets
from .caches import forget, read
from .commands import call

LEAST = {"A": 0.97, "B": 0.97, "D": 0.98}
LEAST_UTILIZATION = 0.95
TOKENS_BYTES, TEXT_BYTES = 4 * 10**9, 10**7


def of_arrays(
    bench: Bench, plan: Plan, folder: pathlib.Path, letter: str
) -> dict[str, Any]:
    """A workload's arrays: from an `.npz` file, and packed."""
    source = sets.npz(folder / f"{letter}.npz", load_all()[letter])
    packed = folder / f"{letter}.packed"
    if not packed.exists():
        call([sys.executable, "-m", "kerascale", "pack", f"npz:{source}", packed])
    process = start(bench, letter, f"npz:{source}", f"packed:{packed}")
    try:
        return _measure(bench, plan, letter, process)
    finally:
        process.stop()


def of_tokens(
    bench: Bench, plan: Plan, folder: pathlib.Path, num_bytes: int
) -> dict[str, dict[str, Any]]:
    """D on so many bytes of tokens, against ten megabytes in memory.

    Returns:
        `cold`: the file is not in the system's cache; `warm`: it is.
    """
    text = sets.text(folder / "text.txt", TEXT_BYTES)
    bench.say(f"writing {num_bytes / 1e9:.1f} GB of tokens")
    packed = sets.tokens(folder / f"tokens-{num_bytes}", num_bytes)
    process = start(bench, "D", f"text:{text}", f"packed:{packed}")
    features = packed / "features.bin"
    try:
        cold = _measure(bench, plan, "D", process, lambda: forget(features))
        read(features)
        warm = _measure(bench, plan, "D", process)
    finally:
        process.stop()
    return {"cold": cold, "warm": warm}


def start(bench: Bench, letter: str, memory: str, packed: str) -> Process:
    """Starts the process that trains both, and lets it choose how."""
    module = "benchmarks.runners.streaming_fit"
    return Process(
        [sys.executable, "-m", module, letter, memory, packed],
        VARIABLES,
        bench.logs / f"streaming-{letter}.log",
        cwd=TESTS,
    )


def _measure(
    bench: Bench,
    plan: Plan,
    letter: str,
    process: Process,
    before: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    patience = plan.patience_seconds
    if not getattr(process, "is_warm", False):
        bench.say(f"{letter}: warming up")
        process.ask("load", timeout=patience)
        process.ask("first", timeout=patience, steps=0)
        process.is_warm = True
    before()
    one = process.ask("run", timeout=patience, epochs=1)["parts"]
    longest = min(part["seconds"] for part in one.values())
    epochs = epochs_for(plan.seconds, longest)
    answers = []
    for number in range(1, plan.rounds + 1):
        bench.say(f"{letter}: round {number} of {plan.rounds}")
        before()
        answer = process.ask("run", timeout=patience, epochs=epochs)
        answers.append(answer["parts"])
    return {**summary(answers), "modes": answer["modes"]}


def summary(
    answers: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """The pace of packed data over that of memory, and how much steps waited."""

    def pace(part: Mapping[str, float]) -> float:
        return part["steps"] / part["seconds"]

    def utilization(part: Mapping[str, float]) -> float:
        return 1 - part["waited_seconds"] / part["seconds"]

    packed = [each["packed"] for each in answers]
    memory = [each["memory"] for each in answers]
    pairs = zip(packed, memory, strict=True)
    found = {
        "pace": Spread.of([pace(a) / pace(b) for a, b in pairs]),
        "steps_per_second": Spread.of([pace(each) for each in packed]),
        "utilization": Spread.of([utilization(each) for each in packed]),
        "utilization_in_memory": Spread.of([utilization(each) for each in memory]),
    }
    return {name: dataclasses.asdict(spread) for name, spread in found.items()}
