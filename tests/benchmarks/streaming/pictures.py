"""Pictures a second: read, decoded, cropped, in batches; against four libraries.

Each contender is a process of its own, which goes on with its batches where it was, and
is stopped by SIGSTOP, with the workers that it started, whenever it is not its turn.
Before its turn its files are read once, so that all find theirs in the system's cache.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from .. import environments, machine
from ..contenders import TESTS, Contender, FailedError, Process
from ..rounds import LARGEST_OTHERS_CORES, Bench, Plan
from ..statistics import Spread, shuffled_rounds
from . import made, shards
from .caches import read
from .reader import BATCH

OURS = "kerascale"
# The same pixels, of JPEGs that regions are cut out of.
OURS_REGIONS = "kerascale-regions"
# How each was packed.
WAYS = {OURS_REGIONS: "with `--jpeg-restart-markers`", OURS: "as they are"}
LEAST = 1.1
_WARM_UP_SECONDS = 10.0
_FIRST_BATCHES = 8
_TENSORFLOW = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}

CONTENDERS = {
    each.name: each
    for each in (
        Contender(
            OURS,
            "kerascale, `packed:`",
            environments.OWN,
            "pictures_kerascale",
            _TENSORFLOW | {"PYTHONPATH": str(TESTS.parent)},
        ),
        Contender(
            OURS_REGIONS,
            "kerascale, `packed:`, packed with `--jpeg-restart-markers`",
            environments.OWN,
            "pictures_kerascale",
            _TENSORFLOW | {"PYTHONPATH": str(TESTS.parent)},
        ),
        Contender(
            "tf.data",
            "tf.data, TFRecord, shuffle buffer 10,000",
            environments.OWN,
            "pictures_tfdata",
            _TENSORFLOW,
        ),
        Contender("grain", "Grain, ArrayRecord", "grain", "pictures_grain"),
        Contender(
            "webdataset",
            "WebDataset, DataLoader",
            "webdataset",
            "pictures_webdataset",
        ),
        Contender(
            "streaming",
            "MosaicML Streaming, DataLoader",
            "streaming",
            "pictures_streaming",
        ),
    )
}


def measure(
    bench: Bench,
    plan: Plan,
    folder: pathlib.Path,
    count: int,
    chosen: Sequence[Contender],
) -> dict[str, Any]:
    """Runs all in turns.

    Args:
        bench: Makes environments.
        plan: How it is measured.
        folder: Where pictures and files are, or are made.
        count: Of the pictures.
        chosen: Who is compared.
    """
    pictures = folder / "pictures"
    total = made.pictures(pictures, count, bench.say)
    results: dict[str, dict[str, Any]] = {}
    processes: dict[str, Process] = {}
    places: dict[str, pathlib.Path] = {}
    rates: dict[str, list[float]] = {}
    try:
        for contender in chosen:
            name = contender.name
            result = results[name] = {"title": contender.title}
            try:
                places[name] = _files_of(bench, contender, folder, count)
                bench.say(f"pictures {name}: warming up")
                processes[name] = _start(bench, contender, places[name])
                result |= _warm_up(processes[name], plan)
                rates[name] = []
            except FailedError as error:
                _drop(bench, name, result, processes, error)
        order = shuffled_rounds(list(processes), plan.rounds, plan.seed)
        for number, names in enumerate(order, 1):
            bench.say(f"pictures: round {number} of {plan.rounds}")
            for name in names:
                if name not in processes:
                    continue
                read(places[name])
                try:
                    rates[name].append(_turn(processes[name], results[name], plan))
                except FailedError as error:
                    _drop(bench, name, results[name], processes, error)
                    del rates[name]
    finally:
        for process in processes.values():
            process.stop()
    return {"bytes": total, "count": count, "contenders": summary(results, rates)}


def summary(
    results: Mapping[str, dict[str, Any]], rates: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Rates, and ours over each other's, round by round."""
    for name, own in rates.items():
        result = results[name]
        result["pictures_per_second"] = dataclasses.asdict(Spread.of(own))
        for ours in WAYS:
            if ours in rates:
                pairs = zip(rates[ours], own, strict=True)
                ratio = Spread.of([a / b for a, b in pairs])
                result[f"{ours}_over_it"] = dataclasses.asdict(ratio)
    return dict(results)


def best(found: Mapping[str, Any], ours: str) -> tuple[str, Mapping[str, float]] | None:
    """The fastest of the others, and our rate over its; None: there is no figure.

    Args:
        found: As `measure` returns it.
        ours: One of `WAYS`.
    """
    others = {
        name: figures
        for name, figures in found["contenders"].items()
        if name not in WAYS and f"{ours}_over_it" in figures
    }
    if not others:
        return None
    name = max(others, key=lambda n: others[n]["pictures_per_second"]["median"])
    return name, others[name][f"{ours}_over_it"]


def table(found: Mapping[str, Any]) -> str:
    """Markdown: all contenders, the fastest first."""
    size = found["bytes"] / found["count"] / 1e3
    lines = [
        f"{found['count']:,} JPEGs of {size:.0f} KB, {made.WIDTH} x {made.HEIGHT}",
        "",
        "| | pictures/s | quartiles | with markers over it | quartiles | as they are "
        "over it | quartiles | processor ms a picture | notes |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | :-- |",
    ]
    rows, failed = [], []
    for name, figures in found["contenders"].items():
        if "pictures_per_second" not in figures:
            failed.append(f"{name} failed: {figures.get('failed', '')}")
            continue
        rate = figures["pictures_per_second"]
        cells = [figures["title"], f"{rate['median']:,.0f}", _range(rate, ",.0f")]
        for ours in WAYS:
            ratio = figures.get(f"{ours}_over_it")
            cells += (
                [f"{ratio['median']:.2f}", _range(ratio, ".2f")] if ratio else ["", ""]
            )
        cells.append(f"{Spread.of(figures['processor_ms']).median:.2f}")
        others = Spread.of(figures["others_cores"]).median
        is_disturbed = others > LARGEST_OTHERS_CORES
        cells.append(f"other programs took {others:.2f} cores" if is_disturbed else "")
        rows.append((-rate["median"], f"| {' | '.join(cells)} |"))
    return "\n".join([*lines, *(row for _, row in sorted(rows)), "", *failed])


def _range(spread: Mapping[str, float], form: str) -> str:
    return f"{spread['lower']:{form}} to {spread['upper']:{form}}"


def _files_of(
    bench: Bench, contender: Contender, folder: pathlib.Path, count: int
) -> pathlib.Path:
    """The contender's files, made if they are not there."""
    if contender.environment == "streaming":
        ways = {"mds": shards.mds(bench.environment("streaming"))}
    elif contender.name == OURS_REGIONS:
        ways = {"packed-regions": shards.packed_regions}
    elif contender.name == "tf.data":
        ways = {"tfrecord": shards.tfrecord}
    elif contender.name == "webdataset":
        ways = {"tar": shards.tar}
    else:  # Grain reads what kerascale has packed.
        ways = {"packed": shards.packed}
    ((name, write),) = ways.items()
    if not (folder / name).exists():
        bench.say(f"writing {folder / name}")
    return shards.in_folder(folder / name, folder / "pictures", count, write)


def _start(bench: Bench, contender: Contender, files: pathlib.Path) -> Process:
    environment = bench.environment(contender.environment)
    module = f"benchmarks.runners.{contender.runner}"
    return Process(
        [environment.python, "-m", module, str(files)],
        contender.variables,
        bench.logs / f"pictures-{contender.name}.log",
        cwd=TESTS,
    )


def _warm_up(process: Process, plan: Plan) -> dict[str, Any]:
    found = process.ask("load", timeout=plan.patience_seconds)
    seconds, batches = 0.0, _FIRST_BATCHES
    while True:
        seconds = _seconds(process, batches, plan)
        if seconds >= _WARM_UP_SECONDS / 2:
            break
        factor = _WARM_UP_SECONDS / max(seconds, 0.1)
        batches = max(batches + 1, int(batches * min(8, factor)))
    found["batches_per_round"] = max(1, round(batches * plan.seconds / seconds))
    return found


def _turn(process: Process, result: dict[str, Any], plan: Plan) -> float:
    batches = result["batches_per_round"]
    busy, own = machine.busy_seconds(), process.processor_seconds()
    seconds = _seconds(process, batches, plan)
    used = process.processor_seconds() - own
    others = machine.busy_seconds() - busy - used
    result.setdefault("others_cores", []).append(max(0.0, others) / seconds)
    result.setdefault("processor_ms", []).append(1e3 * used / (batches * BATCH))
    return batches * BATCH / seconds


def _seconds(process: Process, batches: int, plan: Plan) -> float:
    answer = process.ask("run", timeout=plan.patience_seconds, epochs=batches)
    return answer["seconds"]


def _drop(
    bench: Bench,
    name: str,
    result: dict[str, Any],
    processes: dict[str, Process],
    error: FailedError,
) -> None:
    bench.say(f"pictures {name}: failed: {error}")
    result["failed"] = str(error)
    process = processes.pop(name, None)
    if process is not None:
        process.stop()
