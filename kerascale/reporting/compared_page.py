"""Runs side by side, as one HTML page."""

from kerascale.reporting import figures
from kerascale.reporting.comparison import Comparison, say_parting
from kerascale.reporting.fill_template import fill


def render(comparison: Comparison) -> str:
    """The page.

    Args:
        comparison: What `comparison.compare` returned.
    """
    labels, runs = comparison.labels, comparison.runs
    unequal = {(each.about, each.name) for each in comparison.differences}
    chosen = {name for about, name in unequal if about == "chosen"}
    names = dict.fromkeys(name for run in runs for name in run.fields)
    same = [n for n in names if ("field", n) not in unequal and n not in chosen]
    return fill(
        "compare.html",
        title=f"compared: {', '.join(run.name for run in runs)}",
        comparison=comparison,
        labelled=list(zip(labels, runs, strict=True)),
        curves=figures.curves_over_each_other(runs, labels),
        same_fields={name: runs[0].fields.get(name) for name in same},
        partings=[say_parting(each) for each in comparison.partings],
    )
