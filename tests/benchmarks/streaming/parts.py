"""Data that is streamed from the disk: packed data against memory, and four libraries.

Each part is a line or more of the table, and can be measured alone.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..contenders import Contender, FailedError
from ..rounds import Bench, Plan
from . import copying, jumping, memory, pictures, training

CONTENDERS = pictures.CONTENDERS
PARTS = ("pictures", "arrays", "tokens", "memory", "jump", "pack")
NUM_PICTURES = 60_000


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much data there is.

    Args:
        pictures: JPEGs.
        share: Of the tokens, the 30 GB and the 100 million rows.
    """

    pictures: int = NUM_PICTURES
    share: float = 1.0


def measure(
    bench: Bench,
    plan: Plan,
    folder: pathlib.Path,
    sizes: Sizes,
    chosen: Sequence[Contender],
    parts: Sequence[str] = PARTS,
    keep: Callable[[dict[str, Any]], None] = lambda found: None,
) -> dict[str, Any]:
    """Measures parts, one after the other.

    Args:
        bench: Makes environments.
        plan: How it is measured.
        folder: For all data, which stays there for the next time.
        sizes: How much there is.
        chosen: Who reads pictures.
        parts: Of `PARTS`.
        keep: Called with what is there after each part.

    Returns:
        Part -> its figures, or `failed`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num_tokens = 2 * int(sizes.share * training.TOKENS_BYTES / 2)
    num_bytes = int(sizes.share * memory.DATA_BYTES)
    rows = int(sizes.share * jumping.ROWS)
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "pictures": lambda: pictures.measure(
            bench, plan, folder, sizes.pictures, chosen
        ),
        "arrays": lambda: {
            letter: training.of_arrays(bench, plan, folder, letter) for letter in "AB"
        },
        "tokens": lambda: training.of_tokens(bench, plan, folder, num_tokens),
        "memory": lambda: memory.measure(bench, folder, num_bytes, sizes.pictures),
        "jump": lambda: jumping.measure(bench, plan, folder, rows),
        "pack": lambda: copying.measure(bench, plan, folder, sizes.pictures),
    }
    found: dict[str, Any] = {"sizes": dataclasses.asdict(sizes)}
    for part in parts:
        try:
            found[part] = ways[part]()
        except (FailedError, OSError, ValueError) as error:
            bench.say(f"{part}: failed: {error}")
            found[part] = {"failed": f"{type(error).__name__}: {error}"}
        keep(found)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Markdown: the targets, and then all who read pictures."""
    lines = [
        "| | measured | quartiles | target | |",
        "| :-- | --: | --: | --: | :-- |",
    ]
    failed = []
    for part, figures in found.items():
        if part == "sizes":
            continue
        if "failed" in figures:
            failed.append(f"{part} failed: {figures['failed']}")
            continue
        lines += _LINES[part](figures)
    told = ["\n".join(lines), *failed]
    if "contenders" in found.get("pictures", {}):
        told.append(pictures.table(found["pictures"]))
    return "\n\n".join(told)


def is_failed(found: Mapping[str, Any]) -> bool:
    """Whether a part, or who was to read pictures, has failed."""
    parts = [figures for part, figures in found.items() if part != "sizes"]
    contenders = found.get("pictures", {}).get("contenders", {}).values()
    return any("failed" in each for each in [*parts, *contenders])


def _line(
    title: str,
    spread: Mapping[str, float],
    *,
    least: float | None = None,
    most: float | None = None,
) -> str:
    limit = least if most is None else most
    if limit is None:
        target = verdict = ""
    else:
        is_kept = spread["median"] >= limit if most is None else (
            spread["median"] <= limit
        )  # fmt: skip
        target = f"{'at least' if most is None else 'at most'} {limit:g}"
        verdict = "kept" if is_kept else "MISSED"
    quartiles = f"{spread['lower']:.3g} to {spread['upper']:.3g}"
    return f"| {title} | {spread['median']:.3g} | {quartiles} | {target} | {verdict} |"


def _number(title: str, value: float, most: float | None = None) -> str:
    return _line(title, {"median": value, "lower": value, "upper": value}, most=most)


def _of_pictures(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, how in pictures.WAYS.items():
        best = pictures.best(found, name)
        if best is not None:
            title = found["contenders"][best[0]]["title"]
            what = f"pictures/s, packed {how}, over the best of the others ({title})"
            lines.append(_line(what, best[1], least=pictures.LEAST))
    return lines


def _of_arrays(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for letter, figures in found.items():
        what = f"{letter}: pace, packed over in memory{_modes(figures)}"
        lines.append(_line(what, figures["pace"], least=training.LEAST[letter]))
        least = training.LEAST_UTILIZATION if letter == "B" else None
        what = f"{letter}: utilization, packed"
        lines.append(_line(what, figures["utilization"], least=least))
    return lines


def _modes(figures: Mapping[str, Any]) -> str:
    """How steps are executed, where that was chosen otherwise for one of them."""
    modes = figures.get("modes", {})
    if len(set(modes.values())) < 2:
        return ""
    return f" ({modes['packed']}; in memory {modes['memory']})"


def _of_tokens(found: Mapping[str, Any]) -> list[str]:
    lines = []
    for state, figures in found.items():
        what = f"D: pace, packed tokens ({state} cache) over 10 MB in memory"
        what += _modes(figures)
        least = training.LEAST["D"] if state == "warm" else None
        lines.append(_line(what, figures["pace"], least=least))
        what = f"D: utilization, packed ({state} cache)"
        lines.append(_line(what, figures["utilization"]))
    return lines


def _of_memory(found: Mapping[str, Any]) -> list[str]:
    above = memory.above_digits(found)
    most, size = memory.MOST_BYTES / 1e6, found["bytes"] / 1e9
    packed = found["packed_bytes"]
    where = f"from {packed['tenth'] / 1e9:.2f} and {packed['all'] / 1e9:.2f} GB"
    # What fills its buffers first is no growth.
    is_enough = packed["tenth"] >= memory.LEAST_BYTES
    return [
        _number(
            f"MB, peak of training on {size:.3g} GB above digits "
            f"({found['train_digits'] / 1e6:,.0f} MB)",
            above["train"] / 1e6,
            most,
        ),
        _number(
            f"MB, peak of packing {packed['all'] / 1e9:.2f} GB above digits",
            (found["pack_all"] - found["train_digits"]) / 1e6,
            most,
        ),
        _number(
            f"MB, the same of {size:.3g} GB, {where}"
            + ("" if is_enough else " (too few to tell)"),
            above["pack"] / 1e6,
            most if is_enough else None,
        ),
    ]


def _of_jump(found: Mapping[str, Any]) -> list[str]:
    what = (
        f"first batch of step {found['step']:,} of {found['rows']:,} rows over step 0"
    )
    return [
        _line(what, found["ratio"], most=jumping.MOST),
        _line("seconds to the first batch of step 0", found["first_seconds"]),
    ]


def _of_pack(found: Mapping[str, Any]) -> list[str]:
    what = f"`kerascale pack` of {found['bytes'] / 1e9:.2f} GB over `cp -r`"
    return [
        _line(what, found["pace"], least=copying.LEAST),
        _line(f"{what}, when all is on the disk", found["pace_on_disk"]),
    ]


_LINES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "pictures": _of_pictures,
    "arrays": _of_arrays,
    "tokens": _of_tokens,
    "memory": _of_memory,
    "jump": _of_jump,
    "pack": _of_pack,
}
