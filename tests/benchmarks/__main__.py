"""The command: `python -m tests.benchmarks [WHAT] [options]`."""

import argparse
import dataclasses
import json
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from . import (
    checkpointing,
    environments,
    machine,
    mesh,
    mirrored,
    networks,
    report,
    rounds,
    scaling,
    serving,
    watching,
)
from .contenders import CONTENDERS, Contender, FailedError
from .streaming import parts as streaming
from .workload import Workload, load_all

# Workloads that one of the measurements has for itself.
_OF_ITS_OWN = {"overhead": "T", "checkpoint": "P"}
_MORE = ("scaling", "mirrored", "mesh", "serving", "streaming")
_CONTENDERS = {
    "scaling": scaling.CONTENDERS,
    "mirrored": mirrored.CONTENDERS,
    "mesh": mesh.CONTENDERS,
    "streaming": streaming.CONTENDERS,
}
# What it costs, beside the training: a module for each.
_COSTS = {"checkpoint": (checkpointing, "P"), "watching": (watching, "D")}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    workloads = load_all()
    known = _CONTENDERS.get(options.what, CONTENDERS)
    chosen = [known[name] for name in options.contenders]
    plan = rounds.Plan(options.rounds, options.seconds, options.patience, options.seed)
    result: dict[str, Any] = {
        "what": options.what,
        "machine": machine.facts(),
        "plan": dataclasses.asdict(plan),
        "workloads": {},
    }
    logs = pathlib.Path(tempfile.mkdtemp(prefix="kerascale-benchmarks-"))
    _say(f"logs of the contenders: {logs}")
    bench = rounds.Bench(logs, _say)
    if options.what == "serving":
        return _serving(result, bench, plan, options.json)
    if options.what == "streaming":
        return _streaming(result, bench, options, chosen, plan)
    if options.what in _COSTS:
        module, letter = _COSTS[options.what]
        return _cost(module, result, bench, workloads[letter], plan, options.json)
    if options.what == "scaling":
        return _scaling(result, bench, options, chosen, plan)
    if options.what == "mesh":
        return _mesh(result, bench, options, chosen, plan)
    for letter in options.workloads:
        if options.what == "startup":
            found = rounds.startup(bench, workloads[letter], chosen, plan)
            table = report.startup_table(letter, found)
        else:
            found = rounds.throughput(bench, workloads[letter], chosen, plan)
            table = report.throughput_table(letter, found)
        result["workloads"][letter] = found
        print(table, end="\n\n", flush=True)
        # After each: what was measured is not lost with what comes.
        _finish(result, bench, options.json)
    _say(f"load average at the end: {machine.facts()['load_average']}")
    if options.plot and options.what != "startup":
        _say(report.plot(options.plot, result["workloads"]))
    return int(any(_failed(found) for found in result["workloads"].values()))


def _cost(
    module: Any,
    result: dict[str, Any],
    bench: rounds.Bench,
    workload: Workload,
    plan: rounds.Plan,
    path: pathlib.Path | None,
) -> int:
    try:
        found = module.measure(bench, workload, plan)
    except FailedError as error:
        _say(f"failed: {error}")
        return 1
    result[result["what"]] = found
    print(module.table(found))
    _finish(result, bench, path)
    return 0


def _scaling(
    result: dict[str, Any],
    bench: rounds.Bench,
    options: argparse.Namespace,
    chosen: Sequence[Contender],
    plan: rounds.Plan,
) -> int:
    workloads = load_all()
    for letter in options.workloads:
        try:
            with options.network as network:
                found = scaling.measure(bench, workloads[letter], chosen, plan, network)
        except FailedError as error:
            _say(f"failed: {error}")
            return 1
        result["workloads"][letter] = found
        print(scaling.table(letter, found), end="\n\n", flush=True)
        _finish(result, bench, options.json)
    return 0


def _mesh(
    result: dict[str, Any],
    bench: rounds.Bench,
    options: argparse.Namespace,
    chosen: Sequence[Contender],
    plan: rounds.Plan,
) -> int:
    workloads = load_all()
    for letter in options.workloads:
        for name in options.meshes:
            try:
                found = mesh.measure(
                    bench, workloads[letter], name, chosen, plan, starts=options.starts
                )
            except FailedError as error:
                _say(f"failed: {error}")
                return 1
            result["workloads"][f"{letter} {name}"] = found
            print(mesh.table(letter, found), end="\n\n", flush=True)
            _finish(result, bench, options.json)
    return 0


def _streaming(
    result: dict[str, Any],
    bench: rounds.Bench,
    options: argparse.Namespace,
    chosen: Sequence[Contender],
    plan: rounds.Plan,
) -> int:
    def keep(found: dict[str, Any]) -> None:
        result["streaming"] = found
        _finish(result, bench, options.json)

    sizes = streaming.Sizes(options.pictures, options.share)
    folder = options.folder or environments.cache_folder() / "streaming"
    found = streaming.measure(bench, plan, folder, sizes, chosen, options.parts, keep)
    print(streaming.table(found))
    _say(f"load average at the end: {machine.facts()['load_average']}")
    return int(streaming.is_failed(found))


def _serving(
    result: dict[str, Any],
    bench: rounds.Bench,
    plan: rounds.Plan,
    path: pathlib.Path | None,
) -> int:
    try:
        found = serving.measure(plan, _say)
    except FailedError as error:
        _say(f"failed: {error}")
        return 1
    result["serving"] = found
    print(serving.table(found))
    _finish(result, bench, path)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    special = (*_OF_ITS_OWN.values(), *mesh.LETTERS, *scaling.OWN_LETTERS)
    letters = sorted(set(load_all()) - set(special))
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Training speed against the peers, contenders in turns.",
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="throughput",
        choices=("throughput", "overhead", "startup", *_COSTS, *_MORE),
        help="items per second; the cost of a step of a tiny model; seconds from "
        "the start of the process to the end of the first steps; what saving and being "
        "watched cost; two workers of one host; requests per second of the local "
        "server; data that is streamed from the disk; or a mesh of eight devices",
    )
    parser.add_argument(
        "--workloads", type=_list, help=f"of {','.join(letters)}; default: all"
    )
    parser.add_argument(
        "--contenders", type=_list, help=f"of {','.join(CONTENDERS)}; default: all"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of a round")
    parser.add_argument(
        "--patience", type=float, default=600.0, help="seconds to wait for an answer"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order in a round")
    parser.add_argument("--json", type=pathlib.Path, help="file for all figures")
    parser.add_argument("--plot", type=pathlib.Path, help="file for a picture (PNG)")
    parser.add_argument(
        "--folder", type=pathlib.Path, help="for the data of streaming, which stays"
    )
    parser.add_argument("--pictures", type=int, default=streaming.NUM_PICTURES)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the other data of streaming"
    )
    parser.add_argument(
        "--parts",
        type=_list,
        default=list(streaming.PARTS),
        help=f"of streaming: {','.join(streaming.PARTS)}; default: all",
    )
    parser.add_argument(
        "--meshes",
        type=lambda text: text.split("+"),
        default=list(mesh.MESHES),
        help=f"of mesh: {'+'.join(mesh.MESHES)}; default: all",
    )
    parser.add_argument(
        "--starts", type=int, default=1, help="of each contender of mesh"
    )
    parser.add_argument(
        "--network",
        type=networks.parse,
        default=networks.DEFAULT,
        help="of scaling: loopback; namespaces or namespaces:1gbit, which need root",
    )
    options = parser.parse_args(arguments)
    if options.what in _OF_ITS_OWN:
        options.workloads = [_OF_ITS_OWN[options.what]]
    contenders = list(_CONTENDERS.get(options.what, CONTENDERS))
    own = {"scaling": scaling, "mirrored": mirrored, "mesh": mesh}.get(options.what)
    options.workloads = options.workloads or list(own.LETTERS if own else letters)
    options.contenders = options.contenders or contenders
    for name, known in (
        ("workloads", [*letters, *special]),
        ("contenders", contenders),
        ("parts", list(streaming.PARTS)),
        ("meshes", list(mesh.MESHES)),
    ):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            parser.error(
                f"--{name}: expected some of {', '.join(known)}. Received: "
                f"{', '.join(unknown)}"
            )
    if options.rounds < 1:
        parser.error(f"--rounds: expected 1 or more. Received: {options.rounds}")
    return options


def _list(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _finish(
    result: dict[str, Any], bench: rounds.Bench, path: pathlib.Path | None
) -> None:
    contenders = [
        figures
        for found in result["workloads"].values()
        for figures in found["contenders"].values()
    ]
    peaks = [figures.get("peak_flops", 0) for figures in contenders]
    result["machine"]["matmul_flops"] = max(peaks, default=0) or None
    result["environments"] = {
        name: found if isinstance(found, str) else dataclasses.asdict(found)
        for name, found in bench.environments.items()
    }
    if path is not None:
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _failed(found: dict[str, Any]) -> bool:
    return any("failed" in figures for figures in found["contenders"].values())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
