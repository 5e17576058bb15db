"""Figures as SVG for a page, in the page's own colours, and as PNG on white paper.

In the SVG each colour is a CSS variable, so that one drawing serves a light and a dark
screen; nothing in it refers to anything outside the page.
"""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Iterator

import matplotlib
from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Palette:
    """The colours of a figure: text, what is less important, grid, lines, ground."""

    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]
    surface: str


PAPER = Palette(
    "#1a1a1a",
    "#5c5c5c",
    "#dddddd",
    tuple("#1f5fbf #b3470b #2b7a3d #8a3ca8 #a8263c #00707f #6b5d00 #555555".split()),
    "#ffffff",
)
# Stand for the page's own, which a style sheet knows.
PAGE = Palette(
    "#010203",
    "#010204",
    "#010205",
    tuple(f"#01030{number}" for number in range(1, 9)),
    "#010206",
)
_VARIABLES = {
    PAGE.ink: "currentColor",
    PAGE.muted: "var(--muted)",
    PAGE.grid: "var(--grid)",
    PAGE.surface: "var(--back)",
    **{color: f"var(--series-{i})" for i, color in enumerate(PAGE.series, 1)},
}
# Readable without colours: each line has a dash and a marker of its own.
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_PNG_DPI = 200


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn in any colours.

    Args:
        name: A name for a file, and for what is in the SVG.
        title: What it shows, for who cannot see it.
        draw: Makes the figure in the colours of a palette.
        is_wide: Whether it has a row of the page for itself.
    """

    name: str
    title: str
    draw: Callable[[Palette], Figure]
    is_wide: bool = False

    def svg(self) -> str:
        """An `<svg>` element, the same bytes each time."""
        return _to_svg(self.draw, self.name)

    def png(self) -> bytes:
        """A PNG on white."""
        buffer = io.BytesIO()
        with _settings(PAPER):
            figure = self.draw(PAPER)
            figure.savefig(buffer, format="png", dpi=_PNG_DPI, facecolor="white")
        return buffer.getvalue()


def _to_svg(draw: Callable[[Palette], Figure], name: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with _settings(PAGE), matplotlib.rc_context({"svg.hashsalt": name}):
        figure = draw(PAGE)
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S
    )
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    # There are other figures on the page.
    text = re.sub(r' id="', f' id="{name}-', text)
    text = re.sub(r"(href=\"|url\()#", rf"\1#{name}-", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    return text


@contextlib.contextmanager
def _settings(palette: Palette) -> Iterator[None]:
    settings = {
        "svg.fonttype": "none",  # Text stays text.
        "text.parse_math": False,  # A class may be called $.
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.fontsize": 10,
        "axes.formatter.limits": (-3, 5),
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "text.color": palette.ink,
        "axes.labelcolor": palette.ink,
        "axes.titlecolor": palette.ink,
        "axes.edgecolor": palette.muted,
        "xtick.color": palette.muted,
        "ytick.color": palette.muted,
        "xtick.labelcolor": palette.ink,
        "ytick.labelcolor": palette.ink,
        "grid.color": palette.grid,
    }
    with matplotlib.rc_context(settings):
        yield
