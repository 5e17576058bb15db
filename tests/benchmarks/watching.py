"""What it costs to be watched: records, curves, a view, Prometheus, checkpoints.

One process trains the same model, in turns: with no callback at all; with all that
shows and records a training; and with metrics, checkpoints and weights on top of that.
Two would not do: from one process to the next a step differs by more than that.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments
from .checkpointing import VARIABLES
from .contenders import Contender
from .rounds import Bench, Plan, warm_up
from .statistics import Spread
from .workload import Workload

TITLES = {
    "without": "no callback",
    "watched": "records, TensorBoard, view, Prometheus",
    "saved": "the same, metrics, weights, a checkpoint every 100 steps",
}
# Seconds beyond those without a callback.
LARGEST_RISE = {"watched": 0.02, "saved": 0.03}

_CONTENDER = Contender(
    "watching", "kerascale, watched", environments.OWN, "watching", VARIABLES
)
# In the first the forms of execution are chosen and compiled.
_WARM_UP_ROUNDS = 2


def measure(bench: Bench, workload: Workload, plan: Plan) -> dict[str, Any]:
    """Runs all in turns.

    Raises:
        FailedError: The process cannot.
    """
    seconds: dict[str, list[float]] = {name: [] for name in TITLES}
    process = bench.start(_CONTENDER, workload)
    try:
        bench.say(f"{workload.letter}: warming up")
        warm_up(process, workload, plan)
        for _ in range(_WARM_UP_ROUNDS):
            process.ask("run", timeout=plan.patience_seconds, epochs=1)
        for number in range(1, plan.rounds + 1):
            bench.say(f"{workload.letter}: round {number} of {plan.rounds}")
            answer = process.ask("run", timeout=plan.patience_seconds, epochs=1)
            for name, values in seconds.items():
                values.append(answer["parts"][name])
    finally:
        process.stop()
    return summary(seconds)


def summary(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Figures from the seconds of the same rounds."""
    rises = {
        name: [
            mine / alone - 1
            for mine, alone in zip(seconds[name], seconds["without"], strict=True)
        ]
        for name in LARGEST_RISE
    }
    return {name: dataclasses.asdict(Spread.of(each)) for name, each in rises.items()}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown."""
    lines = [
        "| | more seconds | quartiles | allowed | |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name, spread in found.items():
        verdict = "kept" if spread["median"] < LARGEST_RISE[name] else "MISSED"
        lines.append(
            f"| {TITLES[name]} | {spread['median']:.1%} | {spread['lower']:.1%} to "
            f"{spread['upper']:.1%} | {LARGEST_RISE[name]:.0%} | {verdict} |"
        )
    return "\n".join(lines)
