"""What came of a ladder: its rows, the one to take, and those that are refused."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from kerascale.compression.formats.rungs import FLOAT, Rung
from kerascale.compression.measuring import measures
from kerascale.compression.measuring.measures import Measure


@dataclasses.dataclass(frozen=True)
class Row:
    """One rung that was built and measured.

    Args:
        rung: The rung.
        path: Its folder.
        size: Bytes that its runtime loads.
        share: The same as a share of the float model's in the same runtime.
        scores: See `measuring.scores.score`.
        peak_bytes: The most memory its process had at once, the runtime included.
        own_bytes: The same without what the runtime had before it loaded the model.
        latency: Size of the batch -> seconds: see `measuring.latency`.
        refused: Why it is not to be served; None: it may be.
        zipped_share: `share` of what both are in a zip file; None: it was not measured.
    """

    rung: Rung
    path: str
    size: int
    share: float
    scores: dict[str, Any]
    peak_bytes: int
    own_bytes: int
    latency: dict[str, dict[str, float]]
    refused: str | None
    zipped_share: float | None = None

    @property
    def part_drops(self) -> dict[str, float]:
        """What each class lost of its recall, or each of several targets of its R2."""
        scores = self.scores
        return scores.get("class_drops") or scores.get("target_drops") or {}

    @property
    def is_compressed(self) -> bool:
        return self.rung.level != FLOAT


@dataclasses.dataclass(frozen=True)
class Ladder:
    """All rungs of a run.

    Args:
        run: The run's folder.
        split: What was measured on.
        examples: How many examples that are.
        original: Scores of the trained model.
        max_drop: The limit.
        threads: How many threads each runtime computed with.
        calibration: How many training examples ranges were taken from.
        rows: The rungs, the float ones first.
        left_out: Rungs and runtimes that are not there, with the reason.
    """

    run: str
    split: str
    examples: int
    original: dict[str, Any]
    max_drop: float
    threads: int
    calibration: int
    rows: list[Row]
    left_out: dict[str, str]

    @property
    def measure(self) -> Measure:
        """What `drop` is a drop of."""
        return measures.of(self.original)

    @property
    def chosen(self) -> Row | None:
        """The smallest within the limit; of two that are equal, the faster."""
        held = [row for row in self.rows if row.is_compressed and row.refused is None]
        return min(held, key=lambda r: (r.size, r.latency["1"]["median"]), default=None)

    @property
    def fastest(self) -> Row | None:
        """Of those within the limit, the one that answers one request first."""
        held = [row for row in self.rows if row.is_compressed and row.refused is None]
        return min(held, key=lambda r: r.latency["1"]["median"], default=None)

    def to_json(self) -> dict[str, Any]:
        chosen = self.chosen
        rows = [
            {
                **dataclasses.asdict(row),
                "rung": None,
                "level": row.rung.level,
                "runtime": row.rung.runtime,
            }
            for row in self.rows
        ]
        for row in rows:
            del row["rung"]
        return {
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "measure": self.measure.key,
            "rows": rows,
            "chosen": None if chosen is None else chosen.path,
        }


def refusal(scores: dict[str, Any], max_drop: float) -> str | None:
    """Why a rung is beyond the limit; None: it is within."""
    drop = scores["drop"]
    # Not `drop > max_drop`: a NaN is worse than anything.
    if drop <= max_drop + 1e-12:
        return None
    what = measures.of(scores).beyond
    return f"{drop:.4f} {what}, where {max_drop:g} is the limit"


def order(rows: Sequence[Row]) -> list[Row]:
    """The float rungs first, the others from the largest to the smallest."""
    return sorted(rows, key=lambda row: (row.is_compressed, -row.size, row.rung))
