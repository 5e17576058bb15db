"""What saving costs the training: the copy, and the steps while a file is written.

Two processes train the same model, in turns: one saves every 100 steps, in a thread
beside the training, as `kerascale.train` does. Steps are timed between the callbacks,
so that the copy, which the training waits for, is apart.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments
from .contenders import TESTS, Contender
from .rounds import Bench, Plan, warm_up
from .statistics import Interval, Spread, shuffled_rounds, slowdown_while_writing
from .workload import Workload

# Step time while a checkpoint is written, beyond the undisturbed one.
LARGEST_RISE = 0.05

VARIABLES = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(TESTS.parent),
}
CONTENDERS = tuple(
    Contender(name, title, environments.OWN, "checkpointing", VARIABLES)
    for name, title in (("without", "no checkpoints"), ("saving", "every 100 steps"))
)


def measure(bench: Bench, workload: Workload, plan: Plan) -> dict[str, Any]:
    """Runs both in turns.

    Raises:
        FailedError: One of them cannot.
    """
    processes = {}
    answers: dict[str, list[dict[str, Any]]] = {each.name: [] for each in CONTENDERS}
    try:
        for contender in CONTENDERS:
            bench.say(f"{workload.letter} {contender.name}: warming up")
            process = processes[contender.name] = bench.start(contender, workload)
            warm_up(process, workload, plan)
            process.ask("run", timeout=plan.patience_seconds, epochs=1)
        order = shuffled_rounds(list(processes), plan.rounds, plan.seed)
        for number, names in enumerate(order, 1):
            bench.say(f"{workload.letter}: round {number} of {plan.rounds}")
            for name in names:
                answer = processes[name].ask(
                    "run", timeout=plan.patience_seconds, epochs=1
                )
                answers[name].append(answer)
    finally:
        for process in processes.values():
            process.stop()
    return summary(answers["without"], answers["saving"])


def summary(
    without: Sequence[Mapping[str, Any]], saving: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Figures from the answers of both, round by round."""
    undisturbed, rises, totals = [], [], []
    for alone, beside in zip(without, saving, strict=True):
        step_seconds = _step_seconds(_intervals(alone))
        intervals = _intervals(beside)
        quiet = [each for each in intervals if not each.writing_seconds]
        own = _step_seconds(quiet) if quiet else step_seconds
        undisturbed.append((step_seconds, own))
        factor = slowdown_while_writing(intervals, own)
        if factor is not None:
            rises.append(factor - 1)
        totals.append(beside["seconds"] / alone["seconds"])
    found = {
        "step_seconds_without": Spread.of([each[0] for each in undisturbed]),
        "step_seconds_between_saves": Spread.of([each[1] for each in undisturbed]),
        "rise_while_writing": Spread.of(rises),
        "seconds_with_over_without": Spread.of(totals),
        "copy_seconds": Spread.of(_all(saving, "copies")),
        "wait_seconds": Spread.of(_all(saving, "waits")),
        "write_seconds": Spread.of(
            [each["seconds"] for each in _all(saving, "writes")]
        ),
        "write_processor_seconds": Spread.of(
            [each["processor_seconds"] for each in _all(saving, "writes")]
        ),
    }
    return {name: dataclasses.asdict(spread) for name, spread in found.items()}


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown."""
    lines = ["| | median | quartiles |", "| :-- | --: | --: |"]
    for name, spread in found.items():
        low, high = spread["lower"], spread["upper"]
        lines.append(
            f"| {name.replace('_', ' ')} | {spread['median']:.4g} | "
            f"{low:.4g} to {high:.4g} |"
        )
    rise = found["rise_while_writing"]["median"]
    verdict = "kept" if rise < LARGEST_RISE else "MISSED"
    lines += ["", f"Steps may rise by {LARGEST_RISE:.0%} while writing: {verdict}."]
    return "\n".join(lines)


def _intervals(answer: Mapping[str, Any]) -> list[Interval]:
    return [Interval(*each) for each in answer["intervals"]]


def _step_seconds(intervals: Sequence[Interval]) -> float:
    # Of the middle interval: one that something else disturbed does not count.
    return statistics.median(each.seconds / each.steps for each in intervals)


def _all(answers: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [each for answer in answers for each in answer[name]]
