"""A ladder as text."""

from kerascale.compression.formats.rungs import TITLES, TRAINED
from kerascale.compression.ladder.result import Ladder, Row

_HEAD = (
    "",
    "runtime",
    "size",
    "of float",
    "",
    "",
    "same",
    "1: us",
    "p99",
    "32: us",
    "p99",
    "MB",
    "",
)


def text(ladder: Ladder) -> str:
    """A line for each rung, the one to take, and those that are refused."""
    head = list(_HEAD)
    measure = ladder.measure
    head[4], head[5] = measure.title, f"{measure.lost} (95 %)"
    lines = [head, *(_cells(row, measure.key) for row in ladder.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    table = "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if i < 2 or i == len(head) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join([table, "", *_notes(ladder)])


def _cells(row: Row, key: str) -> list[str]:
    scores, latency = row.scores, row.latency
    low, high = scores["drop_interval"]
    times = [
        f"{latency[size][name] * 1e6:,.0f}"
        for size in ("1", "32")
        for name in ("median", "p99")
    ]
    return [
        row.rung.level,
        TITLES[row.rung.runtime],
        _size(row.size),
        f"{row.share:.3f}",
        f"{scores[key]:.4f}",
        f"{scores['drop']:+.4f} ({low:+.4f} to {high:+.4f})",
        f"{100 * scores['agreement']:.2f} %",
        *times,
        f"{row.own_bytes / 1e6:.1f}",
        "" if row.refused is None else "REFUSED",
    ]


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def of_rungs(ladder: Ladder) -> list[str]:
    """What is to be said of single rungs, a sentence each."""
    notes = [
        f"{row.rung}: zipped it has {row.zipped_share:.3f} of the float model's bytes"
        for row in ladder.rows
        if row.rung.level in TRAINED and row.zipped_share is not None
    ]
    notes += [
        f"{row.rung}: with the ranges that were learned in training; "
        f"{100 * row.scores['as_trained']['agreement']:.2f} % of its answers are those "
        "that it gave there"
        for row in ladder.rows
        if "as_trained" in row.scores
    ]
    return notes


def _notes(ladder: Ladder) -> list[str]:
    threads = "1 thread" if ladder.threads == 1 else f"{ladder.threads} threads"
    notes = [
        f"{ladder.examples:,} {ladder.split} examples; microseconds a request of 1 and "
        f"of 32 examples on {threads}, medians in turns; MB beside the runtime itself"
    ]
    notes += of_rungs(ladder)
    notes += [f"left out: {name}: {why}" for name, why in ladder.left_out.items()]
    notes += [
        f"refused: {row.rung}: {row.refused}" for row in ladder.rows if row.refused
    ]
    chosen = ladder.chosen
    if chosen is None:
        notes.append(
            f"No rung is within --max-drop {ladder.max_drop:g}. Raise it, or train "
            "longer."
        )
        return notes
    notes.append(
        f"The smallest within --max-drop {ladder.max_drop:g}: {chosen.rung}, "
        f"{chosen.share:.3f} of its float size: {chosen.path}"
    )
    if chosen.scores["drop_interval"][1] > ladder.max_drop:
        notes.append(
            f"Its drop may be up to {chosen.scores['drop_interval'][1]:.4f}: "
            f"{ladder.examples:,} examples tell no better."
        )
    fastest = ladder.fastest
    if fastest is not chosen:
        notes.append(f"The fastest within it: {fastest.rung}: {fastest.path}")
    return notes
