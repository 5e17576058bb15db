"""The figure of an attack: accuracy against epsilon."""

import functools

from matplotlib.figure import Figure

from kerascale.reporting.drawing import DASHES, MARKERS, Drawing, Palette
from kerascale.trust.attacks.result import AttackResult

# As wide as a phone, so that text on it is not scaled down.
_WIDTH, _HEIGHT = 4.6, 3.6


def of_attack(found: AttackResult) -> Drawing:
    """The curve, and what other attacks leave at one of its places."""
    title = "accuracy against epsilon, a line for each attack"
    return Drawing("accuracy-epsilon", title, functools.partial(_draw, found))


def _draw(found: AttackResult, palette: Palette) -> Figure:
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot(
        title=f"accuracy, {found.examples:,} {found.split} examples",
        xlabel=f"epsilon ({found.norm} norm), {found.units}",
    )
    axes.set_ylim(-0.03, 1.03)
    epsilons = [0.0, *(point.epsilon for point in found.curve)]
    lines = {
        "FGSM": [found.clean, *(point.fgsm for point in found.curve)],
        f"PGD, {found.steps} steps, {found.restarts} restarts": [
            found.clean,
            *(point.pgd for point in found.curve),
        ],
    }
    for i, (label, values) in enumerate(lines.items()):
        axes.plot(
            epsilons,
            values,
            color=palette.series[i],
            linestyle=DASHES[i],
            marker=MARKERS[i],
            markersize=4,
            linewidth=1.4,
            label=label,
        )
    at = found.evidence
    marks = {
        "transfer": at.transfer,
        "random search": at.black_box,
        "all together": found.robust,
    }
    for i, (label, value) in enumerate(marks.items(), len(lines)):
        axes.plot(
            at.epsilon,
            value,
            color=palette.series[i],
            marker=MARKERS[i],
            linestyle="",
            markersize=7,
            label=label,
        )
    figure.legend(loc="outside lower center", ncols=2, columnspacing=1.0)
    return figure
