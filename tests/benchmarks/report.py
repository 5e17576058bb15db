"""Tables and a picture of what was measured."""

import importlib
import pathlib
from collections.abc import Mapping
from typing import Any


def throughput_table(letter: str, result: Mapping[str, Any]) -> str:
    """Markdown, the fastest first; at the end who has failed, and why."""
    first = f"first {result['first_steps']} steps, s"
    header = (
        "contender", f"{result['item']}/s", "quartiles", "of the best", "quartiles",
        "µs/step", "GFLOP/s", f"loss after {result['first_steps']}", first,
        "peak MB", "notes",
    )  # fmt: skip
    rows, failed = [], []
    for name, figures in result["contenders"].items():
        if "items_per_second" not in figures:
            failed.append((name, figures.get("failed", "")))
            continue
        rate, ratio = figures["items_per_second"], figures["ratio"]
        row = (
            figures["title"],
            f"{rate['median']:,.0f}",
            f"{rate['lower']:,.0f}-{rate['upper']:,.0f}",
            f"{ratio['median']:.2f}",
            f"{ratio['lower']:.2f}-{ratio['upper']:.2f}",
            f"{figures['microseconds_per_step']:,.0f}",
            f"{figures['flops'] / 1e9:.2f}",
            f"{figures['loss']:.4f}",
            f"{figures['first_seconds']:.1f}",
            f"{figures['peak_bytes'] / 1e6:,.0f}",
            "; ".join(figures["notes"]),
        )
        rows.append((-rate["median"], row))
    title = f"### {letter}: {result['workload']} ({result['parameters']:,} parameters)"
    return "\n\n".join(
        [title, _table(header, [row for _, row in sorted(rows)]), *_failures(failed)]
    )


def startup_table(letter: str, result: Mapping[str, Any]) -> str:
    """Markdown, the quickest first."""
    header = ("contender", "seconds", "quartiles")
    rows, failed = [], []
    for name, figures in result["contenders"].items():
        if "first_seconds" not in figures:
            failed.append((name, figures.get("failed", "")))
            continue
        seconds = figures["first_seconds"]
        row = (
            figures["title"],
            f"{seconds['median']:.1f}",
            f"{seconds['lower']:.1f}-{seconds['upper']:.1f}",
        )
        rows.append((seconds["median"], row))
    title = (
        f"### {letter}: from the start of the process to the end of the first "
        f"{result['first_steps']} steps"
    )
    return "\n\n".join(
        [title, _table(header, [row for _, row in sorted(rows)]), *_failures(failed)]
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, (":--", *["--:"] * (len(header) - 1)), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _failures(failed: list[tuple[str, str]]) -> list[str]:
    return [f"{name} failed: {reason}" for name, reason in failed]


def plot(path: pathlib.Path, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Bars of the ratios to the best, a panel for each workload.

    Returns:
        A line that says what was done: without matplotlib nothing is.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
        matplotlib.use("Agg")
        pyplot = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        return f"plot: skipped, matplotlib cannot be imported ({error})"
    figure, panels = pyplot.subplots(
        1, len(results), figsize=(4 * len(results) + 2, 4), squeeze=False
    )
    for panel, (letter, result) in zip(panels[0], results.items(), strict=True):
        ratios = {
            name: figures["ratio"]
            for name, figures in result["contenders"].items()
            if "ratio" in figures
        }
        names = sorted(ratios, key=lambda name: ratios[name]["median"])
        medians = [ratios[name]["median"] for name in names]
        errors = [
            [ratios[n]["median"] - ratios[n]["lower"] for n in names],
            [ratios[n]["upper"] - ratios[n]["median"] for n in names],
        ]
        colors = ["C1" if name == "kerascale" else "C0" for name in names]
        panel.barh(names, medians, xerr=errors, color=colors)
        panel.axvline(1, color="black", linewidth=0.5)
        panel.set_title(letter)
        panel.set_xlabel(f"{result['item']}/s, of the best")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    return f"plot: {path}"
