"""Models on a mesh of eight devices of this processor, contenders in turns.

Every contender trains one model with the same cuts, on the JAX of this environment:
kerascale, Keras' own `fit` under `keras.distribution.ModelParallel`, and JAX by hand.
The devices share the cores: what is compared is the work of a step and around it.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import contenders, environments
from .contenders import TESTS, Contender, FailedError, Process
from .runners.mesh import MESHES, VARIABLE
from .statistics import Spread, epochs_for, shuffled_rounds, who_learned_otherwise
from .workload import Workload

LETTERS = ("G", "H")
_LOSS_BATCHES = 2

_DEVICES = {
    "KERAS_BACKEND": "jax",
    "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Modules of the checkout are compiled once, as those of a package are.
    "PYTHONDONTWRITEBYTECODE": "",
}
_KERASCALE = _DEVICES | {"PYTHONPATH": str(TESTS.parent)}


def _of(name: str, title: str, runner: str, variables: Mapping[str, str]) -> Contender:
    return Contender(name, title, environments.OWN, runner, variables)


CONTENDERS = {
    contender.name: contender
    for contender in (
        _of("kerascale", "kerascale, `fit`", "mesh_kerascale", _KERASCALE),
        _of("keras-jax", "Keras `fit`, ModelParallel", "mesh_keras", _DEVICES),
        _of(
            "keras-jax-16",
            "the same, steps_per_execution=16",
            "mesh_keras",
            _DEVICES,
        ),
        _of("jax-step", "JAX by hand, a call per step", "mesh_jax", _DEVICES),
        _of("jax-scan", "JAX by hand, lax.scan", "mesh_jax", _DEVICES),
    )
}
# What kerascale is held against: the better of each.
_KERAS = ("keras-jax", "keras-jax-16")
_BY_HAND = ("jax-step", "jax-scan")
OF_KERAS, OF_BY_HAND, START_OF_BY_HAND = 1.3, 0.95, 1.1
# Bytes of weights and optimizer on a device, of those on one alone.
MOST_BYTES = {"fsdp": 0.14, "data=4,model=2": 0.55}


def measure(
    bench: Any,
    workload: Workload,
    mesh: str,
    chosen: Sequence[Contender],
    plan: Any,
    *,
    starts: int = 1,
) -> dict[str, Any]:
    """Warms contenders up in turn, and lets them train in turns.

    Args:
        bench: As in `rounds`.
        workload: One of `LETTERS`.
        mesh: One of `MESHES`.
        chosen: Of `CONTENDERS`.
        plan: As in `rounds`.
        starts: How often each is started until its first steps are done; kerascale
            twice each time.

    Raises:
        FailedError: One of them cannot.
    """
    python = bench.environment(environments.OWN)
    placed = [
        dataclasses.replace(each, variables={**each.variables, VARIABLE: mesh})
        for each in chosen
    ]
    processes: dict[str, Process] = {}
    known: dict[str, dict[str, Any]] = {}
    rates: dict[str, list[float]] = {each.name: [] for each in chosen}
    costs: dict[str, list[float]] = {each.name: [] for each in chosen}
    first: dict[str, list[float]] = {each.name: [] for each in chosen}
    again: list[float] = []

    def ask(name: str, do: str, **values: Any) -> dict[str, Any]:
        return processes[name].ask(do, timeout=plan.patience_seconds, **values)

    def start(contender: Contender) -> float:
        """Seconds until its first steps are done."""
        name = contender.name
        if name in processes:
            processes.pop(name).stop()
        processes[name] = contenders.start(
            contender, workload.letter, python, bench.logs
        )
        known[name] = ask(name, "load")
        ask(name, "first", steps=workload.first_steps)
        return time.perf_counter() - processes[name].started

    try:
        order = shuffled_rounds([each.name for each in chosen], starts, plan.seed)
        by_name = {each.name: each for each in placed}
        for number, names in enumerate(order, 1):
            for name in names:
                bench.say(f"{workload.letter} {mesh} {name}: start {number}")
                kept = bench.logs / f"{workload.letter}-{mesh}-{number}"
                own = {"KERASCALE_CACHE_DIR": str(kept)}  # Nothing is compiled before.
                contender = by_name[name]
                contender = dataclasses.replace(
                    contender, variables={**contender.variables, **own}
                )
                first[name].append(start(contender))
                if name == "kerascale":
                    again.append(start(contender))
        for name in processes:
            bench.say(f"{workload.letter} {mesh} {name}: warming up")
            examples = _LOSS_BATCHES * workload.batch_size
            known[name] |= ask(name, "loss", examples=examples)
            one = ask(name, "run", epochs=1)
            known[name] |= {key: one[key] for key in one if key.startswith("state")}
            known[name]["epochs"] = epochs_for(plan.seconds, one["seconds"])
        for number, names in enumerate(
            shuffled_rounds(list(processes), plan.rounds, plan.seed), 1
        ):
            bench.say(f"{workload.letter} {mesh}: round {number} of {plan.rounds}")
            for name in names:
                answer = ask(name, "run", epochs=known[name]["epochs"])
                rates[name].append(answer["steps"] / answer["seconds"])
                costs[name].append(answer["processor_seconds"] / answer["steps"])
    finally:
        for process in processes.values():
            process.stop()
    return {
        "workload": workload.title,
        "item": workload.item,
        "items_per_step": workload.items_per_step,
        "parameters": workload.num_parameters,
        "first_steps": workload.first_steps,
        "mesh": mesh,
        "contenders": summary(workload, chosen, known, rates, costs, first, again),
    }


def summary(
    workload: Workload,
    chosen: Sequence[Contender],
    known: Mapping[str, Mapping[str, Any]],
    rates: Mapping[str, Sequence[float]],
    costs: Mapping[str, Sequence[float]],
    first: Mapping[str, Sequence[float]],
    again: Sequence[float] = (),
) -> dict[str, dict[str, Any]]:
    """Figures of each contender.

    Args:
        workload: What they train.
        chosen: They.
        known: Of each `loss`, `parameters`, `state_bytes`, `state_bytes_per_device`.
        rates: Of each, steps per second of each round.
        costs: Of each, processor seconds of a step, of each round.
        first: Of each, seconds from its start to the end of the first steps.
        again: Of kerascale, the same of a second start, which finds what the first one
            compiled.

    Raises:
        FailedError: One trains another number of parameters.
    """
    notes = who_learned_otherwise(
        {name: own["loss"] for name, own in known.items()},
        tolerance=workload.loss_tolerance,
        chance=workload.chance_loss,
    )
    found: dict[str, dict[str, Any]] = {}
    for contender in chosen:
        name, own = contender.name, known[contender.name]
        if own["parameters"] != workload.num_parameters:
            raise FailedError(
                f"{name}: parameters: expected {workload.num_parameters}. Received: "
                f"{own['parameters']}."
            )
        found[name] = {
            **own,
            "title": contender.title,
            "steps_per_second": _spread(rates[name]),
            "processor_seconds_per_step": _spread(costs[name]),
            "first_seconds": _spread(first[name]),
            "state_share": own["state_bytes_per_device"] / own["state_bytes"],
            "notes": [notes[name]] if name in notes else [],
        }
        if "kerascale" not in rates:
            continue
        ours = zip(rates["kerascale"], rates[name], strict=True)
        found[name]["kerascale_of_it"] = _spread([a / b for a, b in ours])
        ours = zip(costs["kerascale"], costs[name], strict=True)
        found[name]["kerascale_of_its_processor_time"] = _spread(
            [a / b for a, b in ours]
        )
        starts = zip(first["kerascale"], first[name], strict=True)
        found[name]["start_of_it"] = _spread([a / b for a, b in starts])
    if again:
        found["kerascale"]["next_first_seconds"] = _spread(again)
    return found


def judged(mesh: str, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each target: what was reached of it."""
    if "kerascale" not in found:
        return []

    def least(names: Sequence[str], key: str) -> float | None:
        values = [found[n][key]["median"] for n in names if n in found]
        return min(values, default=None)

    starts = [found[n]["start_of_it"]["median"] for n in _BY_HAND if n in found]
    hands = [found[n]["first_seconds"]["median"] for n in _BY_HAND if n in found]
    again = found["kerascale"].get("next_first_seconds")
    following = again["median"] / min(hands) if again and hands else None
    share = found["kerascale"]["state_share"]
    lines = [
        ("pace of Keras' fit", least(_KERAS, "kerascale_of_it"), OF_KERAS, True),
        ("pace of by hand", least(_BY_HAND, "kerascale_of_it"), OF_BY_HAND, True),
        ("start of by hand", max(starts, default=None), START_OF_BY_HAND, False),
        ("next start of by hand", following, START_OF_BY_HAND, False),
        ("bytes of one device", share, MOST_BYTES[mesh], False),
    ]
    return [
        f"- {name}: {value:.3g}, target {'>=' if at_least else '<='} {target}: "
        + ("kept" if (value >= target) == at_least or value == target else "MISSED")
        for name, value, target, at_least in lines
        if value is not None
    ]


def table(letter: str, found: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"### {letter}, {found['mesh']}: {found['workload']} "
        f"({found['parameters']:,} parameters), 8 devices",
        "",
        f"| | {found['item']}/s | quartiles | kerascale's pace of it | quartiles | "
        "processor ms/step | state of one device's | first "
        f"{found['first_steps']} steps, s | loss | |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | --: | :-- |",
    ]
    for own in found["contenders"].values():
        rate = {
            key: value * found["items_per_step"]
            for key, value in own["steps_per_second"].items()
        }
        ratio = own.get("kerascale_of_it")
        pace = (
            "| |"
            if ratio is None
            else f"{ratio['median']:.2f} | {ratio['lower']:.2f} to {ratio['upper']:.2f}"
        )
        cost = own["processor_seconds_per_step"]["median"]
        lines.append(
            f"| {own['title']} | {rate['median']:,.0f} | {rate['lower']:,.0f} to "
            f"{rate['upper']:,.0f} | {pace} | {1e3 * cost:,.0f} | "
            f"{own['state_share']:.3f} | {own['first_seconds']['median']:.1f} | "
            f"{own['loss']:.4f} | {'; '.join(own['notes'])} |"
        )
    return "\n".join([*lines, "", *judged(found["mesh"], found["contenders"])])


def _spread(values: Sequence[float]) -> dict[str, float]:
    return dataclasses.asdict(Spread.of(values))


__all__ = ["CONTENDERS", "LETTERS", "MESHES", "judged", "measure", "summary", "table"]
