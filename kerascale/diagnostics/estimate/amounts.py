"""Amounts of memory, as people write them."""

import re

from kerascale.errors import RefusedError

_UNITS = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)


def parse(text: str | int) -> int:
    """The bytes of `24GiB`, `16GB`, `512Mi` or a number of bytes.

    Raises:
        RefusedError: If it is none of them.
    """
    match = _AMOUNT.fullmatch(str(text).strip())
    number = 0 if match is None else float(match[1]) * _UNITS[(match[2] or "").lower()]
    if number < 1:
        raise RefusedError(
            f"memory: expected an amount such as 24GiB or 16GB. Received: {text!r}."
        )
    return int(number)


def shown(number: float) -> str:
    """`1.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"
