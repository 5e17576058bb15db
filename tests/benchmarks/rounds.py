"""Contenders on one workload: warmed up in turn, then measured in turns.

What is timed. A round is one call of what a framework's user calls (`fit` for whole
epochs, or a hand-written loop over the same epochs), on data in memory, shuffled, with
no progress bar, no callback and no metric beside the loss, by a clock around the call.
It lasts at least the given seconds, in whole epochs. In it are all costs of steps and
epochs, and that of entering `fit`, which is reported as `entry_share`. Not in it are
imports, making data and model, compilation and the warm-up: these are in
`first_seconds`, from the start of the process to the end of the first steps. Every
contender has a process of its own; the others are stopped by SIGSTOP meanwhile.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import contenders, environments, machine
from .contenders import Contender, FailedError, Process
from .statistics import (
    Spread,
    entry_seconds,
    epochs_for,
    ratios,
    shuffled_rounds,
    who_learned_otherwise,
)
from .workload import Workload

# Batches of which the loss is taken.
_LOSS_BATCHES = 2
# Training before the first round, beside the first steps.
_WARM_UP_SECONDS = 15.0
# Beyond this share of a round, entering `fit` would disturb its figure.
LARGEST_ENTRY_SHARE = 0.01
# Where other programs take more of the processors, in cores, a figure means little:
# threads that wait for each other at every operation, PyTorch's, lose most.
LARGEST_OTHERS_CORES = 0.1


@dataclasses.dataclass(frozen=True)
class Plan:
    """How it is measured.

    Args:
        rounds: Rounds of each contender.
        seconds: The shortest that a round may be.
        patience_seconds: The longest that an answer may take.
        seed: Of the order in a round.
    """

    rounds: int = 7
    seconds: float = 5.0
    patience_seconds: float = 600.0
    seed: int = 0


class Bench:
    """Makes environments once, and tells what cannot be had.

    Args:
        logs: A folder for what the contenders write to standard error.
        say: Called with a line for people.
    """

    def __init__(self, logs: pathlib.Path, say: Callable[[str], None]) -> None:
        self.logs = logs
        self.say = say
        self.environments: dict[str, environments.Environment | str] = {}

    def start(self, contender: Contender, workload: Workload) -> Process:
        """Starts a contender.

        Raises:
            FailedError: Its environment cannot be made.
        """
        found = self.environment(contender.environment)
        return contenders.start(contender, workload.letter, found, self.logs)

    def environment(self, name: str) -> environments.Environment:
        """An environment, made if it is not there.

        Raises:
            FailedError: It cannot be made.
        """
        if name not in self.environments:
            try:
                self.environments[name] = environments.get(name, self.say)
            except environments.EnvironmentFailedError as error:
                self.environments[name] = str(error)
        found = self.environments[name]
        if isinstance(found, str):
            raise FailedError(f"environment {name!r}: {found}")
        return found


def throughput(
    bench: Bench, workload: Workload, chosen: Sequence[Contender], plan: Plan
) -> dict[str, Any]:
    """Steady-state items per second of each contender.

    Returns:
        What goes into the JSON: of each contender its figures, or `failed`.
    """
    expected = workload.num_parameters
    processes: dict[str, Process] = {}
    results: dict[str, dict[str, Any]] = {}
    try:
        for contender in chosen:
            result = results[contender.name] = {"title": contender.title}
            bench.say(f"{workload.letter} {contender.name}: warming up")
            try:
                process = bench.start(contender, workload)
                processes[contender.name] = process
                result |= warm_up(process, workload, plan, time_entry=True)
                if result["parameters"] != expected:
                    raise FailedError(
                        f"parameters: expected {expected}. Received: "
                        f"{result['parameters']}."
                    )
            except FailedError as error:
                _drop(bench, workload, contender.name, result, processes, error)
        rates = _measure(bench, workload, processes, results, plan)
        for name, process in list(processes.items()):
            try:
                results[name] |= process.ask("usage", timeout=plan.patience_seconds)
            except FailedError as error:
                _drop(bench, workload, name, results[name], processes, error)
                del rates[name]
    finally:
        for process in processes.values():
            process.stop()
    _compare(workload, results, rates)
    return {
        "workload": workload.title,
        "item": workload.item,
        "items_per_step": workload.items_per_step,
        "parameters": expected,
        "first_steps": workload.first_steps,
        "contenders": results,
    }


def warm_up(
    process: Process, workload: Workload, plan: Plan, *, time_entry: bool = False
) -> dict[str, Any]:
    """Loads, takes the first steps, and, if asked, looks how long an epoch is.

    Returns:
        `first_seconds` is from the start of the process, `compiling_seconds` without
        imports and data.

    Raises:
        FailedError: It cannot.
    """

    def ask(do: str, **values: Any) -> dict[str, Any]:
        return process.ask(do, timeout=plan.patience_seconds, **values)

    found = ask("load")
    first = ask("first", steps=workload.first_steps)
    found["first_seconds"] = time.perf_counter() - process.started
    found["first_call_seconds"] = first["seconds"]
    if not time_entry:
        return found
    found |= ask("loss", examples=_LOSS_BATCHES * workload.batch_size)
    ask("run", epochs=1)  # With other shapes than the first steps, it may compile.
    one = ask("run", epochs=1)["seconds"]
    # What a framework finds out while it trains, it has found out by then.
    ask("run", epochs=epochs_for(_WARM_UP_SECONDS, one))
    one = quickest = ask("run", epochs=1)["seconds"]
    # An epoch that is a round by itself is too long for this to be seen.
    if one < plan.seconds:
        two = ask("run", epochs=2)["seconds"]
        # Again: the second of two is the fairer, caches are warm.
        one = ask("run", epochs=1)["seconds"]
        found["entry_seconds"] = entry_seconds(one, two)
        quickest = min(quickest, one, two / 2)
    found["epochs_per_round"] = epochs_for(plan.seconds, quickest)
    found["peak_flops"] = ask("peak")["flops"]
    return found


def _measure(
    bench: Bench,
    workload: Workload,
    processes: dict[str, Process],
    results: Mapping[str, dict[str, Any]],
    plan: Plan,
) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in processes}
    order = shuffled_rounds(list(processes), plan.rounds, plan.seed)
    for number, names in enumerate(order, 1):
        bench.say(f"{workload.letter}: round {number} of {plan.rounds}")
        for name in names:
            if name not in processes:
                continue
            busy = machine.busy_seconds()
            try:
                answer = processes[name].ask(
                    "run",
                    timeout=plan.patience_seconds,
                    epochs=results[name]["epochs_per_round"],
                )
            except FailedError as error:
                _drop(bench, workload, name, results[name], processes, error)
                del rates[name]
                continue
            steps_per_second = answer["steps"] / answer["seconds"]
            rates[name].append(steps_per_second)
            results[name].setdefault("round_seconds", []).append(answer["seconds"])
            others = machine.busy_seconds() - busy - answer["processor_seconds"]
            share = max(0.0, others) / answer["seconds"]
            results[name].setdefault("others_cores", []).append(share)
    return rates


def _drop(
    bench: Bench,
    workload: Workload,
    name: str,
    result: dict[str, Any],
    processes: dict[str, Process],
    error: FailedError,
) -> None:
    bench.say(f"{workload.letter} {name}: failed: {error}")
    result["failed"] = str(error)
    process = processes.pop(name, None)
    if process is not None:
        process.stop()


def _compare(
    workload: Workload,
    results: Mapping[str, dict[str, Any]],
    rates: Mapping[str, Sequence[float]],
) -> None:
    losses = {name: results[name]["loss"] for name in rates}
    notes = who_learned_otherwise(
        losses, tolerance=workload.loss_tolerance, chance=workload.chance_loss
    )
    for name, ratio in ratios(rates).items():
        result = results[name]
        spread = Spread.of([rate * workload.items_per_step for rate in rates[name]])
        steps = Spread.of(rates[name]).median
        result["items_per_second"] = dataclasses.asdict(spread)
        result["ratio"] = dataclasses.asdict(ratio)
        result["microseconds_per_step"] = 1e6 / steps
        result["flops"] = steps * workload.flops_per_step
        result["notes"] = [notes[name]] if name in notes else []
        others = Spread.of(result["others_cores"]).median
        if others > LARGEST_OTHERS_CORES:
            result["notes"].append(f"other programs took {others:.2f} cores")
        if "entry_seconds" in result:
            shortest = min(result["round_seconds"])
            result["entry_share"] = result["entry_seconds"] / shortest
            if result["entry_share"] > LARGEST_ENTRY_SHARE:
                share = f"{result['entry_share']:.1%}"
                result["notes"].append(f"entering takes {share} of a round")


def startup(
    bench: Bench, workload: Workload, chosen: Sequence[Contender], plan: Plan
) -> dict[str, Any]:
    """Seconds from the start of a process to the end of its first steps.

    A fresh process each round, alone. What a framework caches on the disk between
    processes (torch.compile does) is there from the second round on.
    """
    seconds: dict[str, list[float]] = {contender.name: [] for contender in chosen}
    by_name = {contender.name: contender for contender in chosen}
    results: dict[str, Any] = {c.name: {"title": c.title} for c in chosen}
    for names in shuffled_rounds(list(by_name), plan.rounds, plan.seed):
        for name in names:
            if "failed" in results[name]:
                continue
            bench.say(f"{workload.letter} {name}: starting")
            processes: dict[str, Process] = {}
            try:
                processes[name] = process = bench.start(by_name[name], workload)
                found = warm_up(process, workload, plan)
                seconds[name].append(found["first_seconds"])
                calls = results[name].setdefault("first_call_seconds", [])
                calls.append(found["first_call_seconds"])
            except FailedError as error:
                _drop(bench, workload, name, results[name], processes, error)
            for process in processes.values():
                process.stop()
    for name, result in results.items():
        if "failed" not in result:
            result["first_seconds"] = dataclasses.asdict(Spread.of(seconds[name]))
    return {
        "workload": workload.title,
        "first_steps": workload.first_steps,
        "contenders": results,
    }
