"""`kerascale versions DEST`: what is served, and what is to be."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerascale.cli import parsing
from kerascale.cli.results import finish
from kerascale.errors import RefusedError
from kerascale.serving import record, versions
from kerascale.serving.versions import Version

_USAGE = "DEST [--promote N | --rollback | --prune KEEP] [--check-files] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """List the versions in a folder that kerascale export writes, or change their
    labels. A new version is the canary; --promote makes it stable."""

    promote: int | None = None
    """The version that becomes stable. The one before it stays as previous."""
    rollback: bool = False
    """Make the previous version the stable one again."""
    prune: int | None = None
    """Remove all but this many of the newest versions; one with a label stays."""
    check_files: bool = False
    """Compare the sha256 of every file with that of its export."""
    json: bool = False
    """Print the result as one JSON object, the last line of standard output."""


def run(arguments: Sequence[str]) -> int:
    (base,), rest = parsing.positional(
        arguments,
        ["DEST"],
        program="kerascale versions",
        usage=_USAGE,
        options=Options,
    )
    options = parsing.parse(Options, rest, program="kerascale versions DEST")
    changes = {
        "--promote": options.promote is not None,
        "--rollback": options.rollback,
        "--prune": options.prune is not None,
    }
    asked = [flag for flag, is_asked in changes.items() if is_asked]
    if len(asked) > 1:
        raise RefusedError(
            f"expected one change at a time. Received: {', '.join(asked)}."
        )
    removed: list[int] = []
    if options.promote is not None:
        versions.promote(base, options.promote)
    elif options.rollback:
        versions.rollback(base)
    elif options.prune is not None:
        removed = versions.prune(base, options.prune)
    found = versions.find(base)
    damaged = {}
    if options.check_files:
        damaged = {v.number: record.changed_files(v.path) for v in found}
        damaged = {number: files for number, files in damaged.items() if files}
    rows = [_row(version) for version in found]
    for row in rows:
        if options.check_files:
            row["changed_files"] = damaged.get(row["version"], [])
    lines = _table(rows)
    if removed:
        lines.append(f"Removed: {', '.join(map(str, removed))}")
    lines += [f"DAMAGED: {n}: {', '.join(files)}" for n, files in damaged.items()]
    finish(
        {"versions": rows, "removed": removed},
        as_json=options.json,
        text="\n".join(lines),
    )
    return 1 if damaged else 0


def _row(version: Version) -> dict[str, Any]:
    content = version.record
    return {
        "version": version.number,
        "labels": list(version.labels),
        "metrics": content.get("metrics", {}),
        "main_metric": content.get("main_metric"),
        "time": content.get("time"),
        "bytes": version.size,
        "recipe": content.get("recipe"),
        "run": content.get("run"),
    }


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = ("version", "labels", "metric", "time", "size", "run")
    table = [heads]
    for row in rows:
        name = row["main_metric"]
        value = row["metrics"].get(name)
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        table.append(
            (
                str(row["version"]),
                ", ".join(row["labels"]) or "-",
                f"{name} {shown}" if name else "-",
                row["time"] or "-",
                _size(row["bytes"]),
                row["run"] or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            text.ljust(width) for text, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in table
    ]


def _size(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
