"""The page about one run: one HTML file that needs nothing else."""

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

import jinja2
import markupsafe

from kerascale.origins import DEFAULT, RECIPE
from kerascale.reporting import figures
from kerascale.reporting.drawing import Drawing
from kerascale.reporting.findings import Findings
from kerascale.reporting.recorded import Recorded
from kerascale.reporting.writing import MARK

_MOST_PAIRS = 10


@dataclasses.dataclass(frozen=True)
class Pair:
    """A class that was taken for another one, and how often."""

    true: str
    predicted: str
    count: int


def drawings(run: Recorded) -> list[Drawing]:
    """All figures of a run."""
    confusion = figures.confusion_of(run)
    return [*figures.curves_of(run), *([confusion] if confusion else [])]


def render(run: Recorded, findings: Findings) -> str:
    """The page.

    Args:
        run: The records of a run.
        findings: What its model and data tell.
    """
    confusion = figures.confusion_of(run)
    evaluation = run.evaluation or {}
    told = {n: run.origins.get(n, "") for n in run.fields}
    return fill(
        "report.html",
        run=run,
        title=f"{run.recipe}: {run.name}",
        curves=figures.curves_of(run),
        confusion=confusion,
        pairs=_pairs(evaluation),
        per_class=evaluation.get("per_class") or {},
        results=_results(run),
        set_fields={n: o for n, o in told.items() if o not in (DEFAULT, RECIPE)},
        other_fields={n: o for n, o in told.items() if o in (DEFAULT, RECIPE)},
        findings=findings,
        timeline=_timeline(run),
        most_classes=figures.MOST_CLASSES,
    )


def fill(template: str, **values: Any) -> str:
    """A page out of a template; every value in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kerascale.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        svg=_svg, number=_number, plain=_plain, size=_size, moment=_moment
    )
    return MARK + environment.get_template(template).render(**values)


def _svg(drawing: Drawing) -> markupsafe.Markup:
    # Its text was escaped by the library that drew it.
    return markupsafe.Markup(drawing.svg())


def _results(run: Recorded) -> dict[str, Any]:
    """The numbers that a reader looks for first, then the others."""
    results = {n: v for n, v in run.results.items() if n != "split"}
    first = {n: results[n] for n in ("accuracy", "perplexity", "loss") if n in results}
    return {**first, **results}


def _pairs(evaluation: dict[str, Any]) -> list[Pair]:
    names = list(evaluation.get("per_class") or {})
    counts = [
        Pair(names[i], names[j], count)
        for i, row in enumerate(evaluation.get("confusion_matrix") or [])
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(counts, key=lambda pair: -pair.count)[:_MOST_PAIRS]


def _timeline(run: Recorded) -> list[dict[str, Any]]:
    """Events and checkpoints, in their order."""
    saved = [{"event": "checkpoint saved", **each} for each in run.checkpoints]
    return sorted([*run.events, *saved], key=lambda event: str(event["time"]))


def _number(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def _plain(value: Any) -> str:
    """A value of a configuration as it is typed."""
    if value is None:
        return "None"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value))
    return str(value)


def _size(count: int) -> str:
    """Bytes as people read them."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _moment(text: str) -> str:
    """A time as people read it, to the second."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return text
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
