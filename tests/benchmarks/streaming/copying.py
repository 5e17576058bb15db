"""Packing pictures as they are, against `cp -r` of the same folder."""

import dataclasses
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..rounds import Bench, Plan
from ..statistics import Spread, shuffled_rounds
from . import made
from .caches import read
from .commands import call

LEAST = 0.5


def measure(bench: Bench, plan: Plan, folder: pathlib.Path, count: int) -> dict:
    """Both in turns; nothing is left to be written when a turn begins."""
    total = made.pictures(folder / "pictures", count, bench.say)
    source = folder / "pictures" / "files"
    dest = folder / "copied"
    commands = {
        "cp": ["cp", "-r", str(source), str(dest)],
        "pack": [sys.executable, "-m", "kerascale", "pack", f"images:{source}", dest],
    }
    seconds: dict[str, list[float]] = {name: [] for name in [*commands, "cp_on_disk"]}
    try:
        for number, names in enumerate(
            shuffled_rounds(list(commands), plan.rounds, plan.seed), 1
        ):
            bench.say(f"packing: round {number} of {plan.rounds}")
            for name in names:
                shutil.rmtree(dest, ignore_errors=True)
                read(source)
                os.sync()
                began = time.perf_counter()
                call(commands[name])
                seconds[name].append(time.perf_counter() - began)
                if name == "cp":
                    # The packer has all on the disk when it ends; `cp` has not.
                    os.sync()
                    seconds["cp_on_disk"].append(time.perf_counter() - began)
    finally:
        shutil.rmtree(dest, ignore_errors=True)
    return {"bytes": total, "count": count, **summary(seconds)}


def summary(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Seconds of each, and the pace of the packer over that of `cp`."""

    def pace(name: str) -> Spread:
        pairs = zip(seconds[name], seconds["pack"], strict=True)
        return Spread.of([copied / packed for copied, packed in pairs])

    found = {f"{name}_seconds": Spread.of(own) for name, own in seconds.items()}
    found |= {"pace": pace("cp"), "pace_on_disk": pace("cp_on_disk")}
    return {name: dataclasses.asdict(spread) for name, spread in found.items()}
