"""Weak scaling on one host: workers with a core each, and a fixed local batch.

Of each contender there are two pairs of processes, all four pinned: a pair that trains
one model together, and a pair of which each trains one for itself. They take turns;
in a turn both of a pair work at once. What two that know nothing of each other do is
what the cores and the memory between them give; a worker that has the machine for
itself does more.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from . import environments, networks
from .contenders import TESTS, Contender, FailedError, Process
from .runners import steps_of
from .statistics import Spread, epochs_for, shuffled_rounds, who_learned_otherwise
from .workload import Workload

WORKERS = 2
LETTERS = ("A", "M", "C", "D", "P")
# That are of no other benchmark.
OWN_LETTERS = ("M",)
_LOSS_BATCHES = 2

_KERAS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONPATH": str(TESTS.parent),
    # As `kerascale launch` has it for two workers on two cores.
    "TF_NUM_INTRAOP_THREADS": "1",
    "no_grpc_proxy": "127.0.0.1",
}
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "kerascale",
            "kerascale, `ks.scale(model).fit`",
            environments.OWN,
            "scaling_keras",
            _KERAS,
        ),
        Contender(
            "kerascale-fixed",
            "kerascale, step by step",
            environments.OWN,
            "scaling_keras",
            _KERAS,
        ),
        Contender(
            "kerascale-xla",
            "kerascale, step by step, jit_compile=True",
            environments.OWN,
            "scaling_keras",
            _KERAS,
        ),
        Contender(
            "kerascale-grpc-xla",
            "kerascale, step by step, jit_compile=True, TensorFlow's all-reduce",
            environments.OWN,
            "scaling_keras",
            _KERAS | {"KERASCALE_ALL_REDUCE": "tensorflow"},
        ),
        Contender(
            "torch",
            "PyTorch, DistributedDataParallel, gloo",
            "torch",
            "scaling_torch",
            {"OMP_NUM_THREADS": "1"},
        ),
        Contender(
            "torch-compile",
            "torch.compile, DistributedDataParallel, gloo",
            "torch",
            "scaling_torch",
            {"OMP_NUM_THREADS": "1"},
        ),
    )
}


class Team:
    """Processes that are asked at once.

    Args:
        processes: They.
        patience_seconds: The longest that an answer may take.
    """

    def __init__(self, processes: Sequence[Process], patience_seconds: float) -> None:
        self.processes = processes
        self._patience_seconds = patience_seconds

    def ask(self, do: str, **values: Any) -> list[dict[str, Any]]:
        """The answer of each.

        Raises:
            FailedError: One of them cannot.
        """
        for process in self.processes:
            process.begin(do, **values)
        return [
            process.finish(do, timeout=self._patience_seconds)
            for process in self.processes
        ]

    def rate(self, workload: Workload, epochs: int) -> float:
        """Items per second of all of them."""
        answers = self.ask("run", epochs=epochs)
        seconds = max(answer["seconds"] for answer in answers)
        steps = sum(answer["steps"] for answer in answers)
        return steps * workload.items_per_step / seconds

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


def measure(
    bench: Any,
    workload: Workload,
    chosen: Sequence[Contender],
    plan: Any,
    network: networks.Loopback | None = None,
) -> dict[str, Any]:
    """Runs all in turns.

    Args:
        bench: Has the environments, and where logs are written.
        workload: What is trained.
        chosen: Of `CONTENDERS`.
        plan: A `rounds.Plan`.
        network: What is between two that train together; None: this host alone.

    Raises:
        FailedError: One of them cannot.
    """
    network = network or networks.Loopback()
    teams: dict[str, dict[str, Team]] = {}
    epochs: dict[str, int] = {}
    losses: dict[str, float] = {}
    rates: dict[str, dict[str, list[float]]] = {}
    try:
        for contender in chosen:
            name = contender.name
            bench.say(f"{workload.letter} {name}: warming up")
            teams[name] = _teams(bench, contender, workload, plan, network)
            for kind in ("together", "apart"):
                team = teams[name][kind]
                team.ask("load")
                steps = min(workload.first_steps, steps_of(workload))
                team.ask("first", steps=steps)
                num = _LOSS_BATCHES * workload.batch_size
                found = [a["loss"] for a in team.ask("loss", examples=num)]
                if max(found) - min(found) > 1e-6 * abs(found[0]):
                    raise FailedError(f"{name} {kind}: losses differ: {found}")
                if kind == "together":
                    losses[name] = found[0]
                team.ask("run", epochs=1)
            one = team.ask("run", epochs=1)[0]["seconds"]
            epochs[name] = epochs_for(plan.seconds, one)
            rates[name] = {kind: [] for kind in teams[name]}
        order = shuffled_rounds(list(teams), plan.rounds, plan.seed)
        for number, names in enumerate(order, 1):
            bench.say(f"{workload.letter}: round {number} of {plan.rounds}")
            for name in names:
                for kind, team in teams[name].items():
                    rates[name][kind].append(team.rate(workload, epochs[name]))
    finally:
        for each in teams.values():
            for team in each.values():
                team.stop()
    found = summary(rates)
    notes = who_learned_otherwise(
        losses, tolerance=workload.loss_tolerance, chance=workload.chance_loss
    )
    for contender in chosen:
        figures = found[contender.name]
        figures["title"] = contender.title
        figures["loss"] = losses[contender.name]
        items = WORKERS * workload.items_per_step
        rate = figures["items_per_second"]["median"]
        figures["microseconds_per_step"] = 1e6 * items / rate
        figures["notes"] = [notes[contender.name]] if contender.name in notes else []
    return {
        "workload": workload.title,
        "item": workload.item,
        "parameters": workload.num_parameters,
        "workers": WORKERS,
        "network": network.title,
        "contenders": found,
    }


def summary(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Figures from the rates of the same rounds.

    Args:
        rates: Contender -> `together`, `apart` and `alone` -> items per second of
            each round.
    """
    found = {}
    for name, own in rates.items():
        together, apart, alone = own["together"], own["apart"], own["alone"]
        found[name] = {
            "items_per_second": _spread(together),
            "apart_items_per_second": _spread(apart),
            "alone_items_per_second": _spread(alone),
            "of_apart": _spread([a / b for a, b in zip(together, apart, strict=True)]),
            "of_alone": _spread(
                [a / b / WORKERS for a, b in zip(together, alone, strict=True)]
            ),
        }
        if "torch" in rates:
            theirs = rates["torch"]["together"]
            found[name]["of_torch"] = _spread(
                [a / b for a, b in zip(together, theirs, strict=True)]
            )
    return found


def table(letter: str, found: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"### {letter}: {found['workload']} ({found['parameters']:,} parameters), "
        f"{found['workers']} workers with a core each{found['network'] and ', '}"
        f"{found['network']}",
        "",
        f"| | {found['item']}/s together | µs/step | of two apart | quartiles | of two "
        "times one alone | of PyTorch | loss | |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | :-- |",
    ]
    for figures in found["contenders"].values():
        apart, torch = figures["of_apart"], figures.get("of_torch")
        lines.append(
            f"| {figures['title']} | {figures['items_per_second']['median']:,.0f} | "
            f"{figures['microseconds_per_step']:,.0f} | "
            f"{apart['median']:.2f} | {apart['lower']:.2f} to {apart['upper']:.2f} | "
            f"{figures['of_alone']['median']:.2f} | "
            f"{'' if torch is None else format(torch['median'], '.2f')} | "
            f"{figures['loss']:.4f} | {'; '.join(figures['notes'])} |"
        )
    return "\n".join(lines)


def _teams(
    bench: Any,
    contender: Contender,
    workload: Workload,
    plan: Any,
    network: networks.Loopback,
) -> dict[str, Team]:
    python = bench.environment(contender.environment).python
    module = f"{__package__.rpartition('.')[2]}.runners.{contender.runner}"
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < WORKERS:
        raise FailedError(f"expected {WORKERS} cores. Received: {len(cores)}.")
    made: dict[str, list[Process]] = {"together": [], "apart": []}
    for kind, processes in made.items():
        is_pair = kind == "together"
        places = networks.places(network, WORKERS) if is_pair else [_ALONE] * WORKERS
        for index, place in enumerate(places):
            name = f"{workload.letter}-{contender.name}-{kind}-{index}"
            command = ["taskset", "--cpu-list", str(cores[index]), python, "-m", module]
            command += [contender.name, workload.letter]
            processes.append(
                Process(
                    network.command(index, command) if is_pair else command,
                    {**contender.variables, **place},
                    pathlib.Path(bench.logs) / f"{name}.log",
                    cwd=TESTS,
                    # Workers must answer each other's signs of life.
                    pauses=False,
                )
            )
    teams = {kind: Team(each, plan.patience_seconds) for kind, each in made.items()}
    # In the turns of one that is alone, the other of its pair has nothing to do.
    teams["alone"] = Team(made["apart"][:1], plan.patience_seconds)
    return teams


_ALONE = {"WORLD_SIZE": "1", "RANK": "0"}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return dataclasses.asdict(Spread.of(values))
