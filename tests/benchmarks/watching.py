"""What it costs to be watched: records, curves, a view, Prometheus, checkpoints.

Three processes train the same model, in turns: with no callback at all; with all that
shows and records a training; and with checkpoints and weights on top of that.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments
from .checkpointing import VARIABLES
from .contenders import Contender
from .rounds import Bench, Plan, warm_up
from .statistics import Spread, shuffled_rounds
from .workload import Workload

# Seconds beyond those without a callback.
LARGEST_RISE = {"watched": 0.02, "saved": 0.03}

CONTENDERS = tuple(
    Contender(name, title, environments.OWN, "watching", VARIABLES)
    for name, title in (
        ("without", "no callback"),
        ("watched", "records, TensorBoard, view, Prometheus"),
        ("saved", "the same, metrics, weights, a checkpoint every 100 steps"),
    )
)


def measure(bench: Bench, workload: Workload, plan: Plan) -> dict[str, Any]:
    """Runs all in turns.

    Raises:
        FailedError: One of them cannot.
    """
    processes, epochs = {}, 1
    seconds: dict[str, list[float]] = {each.name: [] for each in CONTENDERS}
    try:
        for contender in CONTENDERS:
            bench.say(f"{workload.letter} {contender.name}: warming up")
            process = processes[contender.name] = bench.start(contender, workload)
            found = warm_up(process, workload, plan, time_entry=True)
            epochs = max(epochs, found["epochs_per_round"])
        order = shuffled_rounds(list(processes), plan.rounds, plan.seed)
        for number, names in enumerate(order, 1):
            bench.say(f"{workload.letter}: round {number} of {plan.rounds}")
            for name in names:
                answer = processes[name].ask(
                    "run", timeout=plan.patience_seconds, epochs=epochs
                )
                seconds[name].append(answer["seconds"])
    finally:
        for process in processes.values():
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
    titles = {each.name: each.title for each in CONTENDERS}
    for name, spread in found.items():
        verdict = "kept" if spread["median"] < LARGEST_RISE[name] else "MISSED"
        lines.append(
            f"| {titles[name]} | {spread['median']:.1%} | {spread['lower']:.1%} to "
            f"{spread['upper']:.1%} | {LARGEST_RISE[name]:.0%} | {verdict} |"
        )
    return "\n".join(lines)
