"""A mesh of devices: named axes, along which batches and variables are cut."""

import dataclasses
import math
import re
from collections.abc import Mapping

from kerascale.errors import RefusedError

# The axis along which batches are cut, and the one for variables that layouts ship for.
DATA, MODEL = "data", "model"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HOW = "Write for example data=2,model=4."


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Axes of a mesh, in the order in which devices fill it: the last one fastest.

    Args:
        axes: Name -> devices along it. `data` is among them, maybe of one device.
    """

    axes: Mapping[str, int]

    @property
    def size(self) -> int:
        """Devices in all."""
        return math.prod(self.axes.values())

    def of(self, axis: str | None) -> int:
        """Devices along an axis; 1 where there is none of that name."""
        return 1 if axis is None else self.axes.get(axis, 1)

    def __str__(self) -> str:
        return ",".join(f"{name}={size}" for name, size in self.axes.items())


def parse(mesh: "str | Mapping[str, int] | Mesh") -> Mesh:
    """The mesh of a text, or of a dict.

    Args:
        mesh: `data=2,model=4`, or {"data": 2, "model": 4}. Without `data` that is 1.

    Raises:
        RefusedError: Naming all that is wrong with it.
    """
    if isinstance(mesh, Mesh):
        return mesh
    if isinstance(mesh, str):
        pairs = [tuple(part.partition("=")[::2]) for part in mesh.split(",")]
    else:
        pairs = list(dict(mesh).items())
    problems, axes = [], {}
    for name, size in pairs:
        name = str(name).strip()
        if not _NAME.fullmatch(name):
            problems.append(f"mesh: expected names of axes. Received: {name!r}. {_HOW}")
        elif name in axes:
            problems.append(f"mesh: expected each axis once. Received: {name} twice.")
        elif not str(size).strip().isdecimal() or int(size) < 1:
            problems.append(
                f"mesh: expected a number of devices >= 1 for {name}. Received: "
                f"{size!r}. {_HOW}"
            )
        else:
            axes[name] = int(size)
    if problems:
        raise RefusedError(problems, heading="mesh")
    return Mesh(axes if DATA in axes else {DATA: 1, **axes})
