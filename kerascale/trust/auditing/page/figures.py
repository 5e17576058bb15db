"""The figures: the rates of groups with their intervals, and reliability curves."""

import functools

from matplotlib.figure import Figure

from kerascale.reporting.drawing import DASHES, MARKERS, Drawing, Palette
from kerascale.trust.auditing.result import TITLES, Audit

_WIDTH = 4.6
_MOST_CURVES = 6


def of_audit(audit: Audit) -> list[Drawing]:
    """A figure for each metric of the groups, and one of calibration."""
    drawings = []
    if audit.groups:
        drawings += [
            Drawing(
                f"groups-{name}",
                f"{TITLES[name]} of each group, with its 95 % interval",
                functools.partial(_draw_groups, audit, name),
            )
            for name in audit.overall.values
        ]
    if audit.calibration is not None:
        title = "how often it is right, by how sure it is"
        drawings.append(
            Drawing("reliability", title, functools.partial(_draw_bins, audit, title))
        )
    return drawings


def _draw_groups(audit: Audit, name: str, palette: Palette) -> Figure:
    groups = [g for g in audit.groups if g.values[name] is not None]
    figure = Figure(figsize=(_WIDTH, 1.2 + 0.35 * len(groups)), layout="constrained")
    axes = figure.add_subplot(title=TITLES[name])
    for place, group in enumerate(reversed(groups)):
        value, low, high = group.values[name]
        color = palette.muted if group.is_small else palette.series[0]
        axes.plot([low, high], [place, place], color=color, linewidth=2)
        axes.plot([value], [place], color=color, marker="o", linestyle="")
    axes.set_yticks(range(len(groups)), [g.name for g in reversed(groups)])
    overall = audit.overall.values[name]
    if overall is not None:
        axes.axvline(overall[0], color=palette.ink, linestyle=":")
    return figure


def _draw_bins(audit: Audit, title: str, palette: Palette) -> Figure:
    figure = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="probability", ylabel="share right")
    axes.plot([0, 1], [0, 1], color=palette.muted, linestyle=":", label="calibrated")
    large = [g for g in audit.groups if not g.is_small][:_MOST_CURVES]
    for place, group in enumerate((audit.overall, *large)):
        bins = (group.calibration or {}).get("bins") or []
        axes.plot(
            [each["sure"] for each in bins],
            [each["right"] for each in bins],
            color=palette.series[place],
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[place],
            markersize=4,
            label=group.name,
        )
    figure.legend(loc="outside lower center", ncols=3)
    return figure
