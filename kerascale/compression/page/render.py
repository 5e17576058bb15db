"""The page about a ladder: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence

from kerascale.compression.formats.rungs import LEVELS, TITLES, Rung
from kerascale.compression.ladder import table
from kerascale.compression.ladder.changed import Change
from kerascale.compression.ladder.result import Ladder
from kerascale.compression.measuring import number_scores
from kerascale.compression.page import figures
from kerascale.reporting.fill_template import fill

# Of the section of answers that changed, where none did.
_SAME = {
    "accuracy": "Each answer is that of the trained model",
    "r2": f"No answer moved by {number_scores.SAME} deviations of its target, or more",
}
# Classes, or targets, in the table of what each lost.
_MOST_PARTS = 12


def render(ladder: Ladder, changes: Mapping[Rung, Sequence[Change]]) -> str:
    """The page.

    Args:
        ladder: The ladder.
        changes: The examples whose answer changed, of each rung.
    """
    compressed = [row for row in ladder.rows if row.is_compressed]
    return fill(
        "ladder.html",
        package="kerascale.compression.page",
        title=f"{ladder.run}: smaller and faster",
        ladder=ladder,
        figures=figures.of_ladder(ladder),
        levels={r.rung.level: LEVELS[r.rung.level] for r in ladder.rows},
        runtimes=TITLES,
        compressed=compressed,
        notes=table.of_rungs(ladder),
        parts=_parts(ladder),
        losing=[row for row in compressed if any(row.part_drops.values())],
        is_same=_SAME.get(ladder.measure.key, _SAME["accuracy"]),
        changes={r.rung: changes[r.rung] for r in compressed if changes[r.rung]},
        unchanged=[r.rung for r in compressed if not changes[r.rung]],
    )


def _parts(ladder: Ladder) -> list[str]:
    """The classes, or targets, that lost most in any rung."""
    worst: dict[str, float] = {}
    for row in ladder.rows:
        for name, drop in row.part_drops.items():
            worst[name] = max(worst.get(name, drop), drop)
    names = sorted(worst, key=lambda name: -worst[name])[:_MOST_PARTS]
    return [name for name in worst if name in names]
