"""Pages out of templates, and how they write numbers, sizes and times."""

import datetime
from collections.abc import Sequence
from typing import Any

import jinja2
import markupsafe

from kerascale.reporting.drawing import Drawing
from kerascale.reporting.output_paths import MARK

_HERE = "kerascale.reporting"


def fill(template: str, *, package: str = _HERE, **values: Any) -> str:
    """A page out of a template; every value in it is escaped.

    Args:
        template: Its name.
        package: Whose folder `templates` it is in; what it extends may be in ours.
        **values: What it is filled with.
    """
    names = dict.fromkeys((package, _HERE))
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in names]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        svg=_svg,
        number=_number,
        percent=_percent,
        plain=_plain,
        shape=_shape,
        size=_size,
        moment=_moment,
    )
    return MARK + environment.get_template(template).render(**values)


def _svg(drawing: Drawing) -> markupsafe.Markup:
    # Its text was escaped by the library that drew it.
    return markupsafe.Markup(drawing.svg())


def _number(value: Any) -> str:
    """A number as people read it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def _percent(share: float) -> str:
    """A share as people read it."""
    percent = 100 * share
    if 0 < percent < 0.01:
        return "less than 0.01 %"
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"


def _plain(value: Any) -> str:
    """A value of a configuration as it is typed."""
    if value is None:
        return "None"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(str, value))
    return str(value)


def _shape(sides: Sequence[int | None]) -> str:
    """The shape of an example as people read it."""
    return " by ".join("any" if side is None else str(side) for side in sides)


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
