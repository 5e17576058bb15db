"""A layout as a person reads it: each variable, its cut, and what is sent in a step."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from kerascale.strategies.layouts.assign import Placement
from kerascale.strategies.mesh import DATA, Mesh


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a layout means for a device and for a step.

    Args:
        mesh: The axes.
        placements: Of each variable.
        states: How often an optimizer has something of the size of each variable.
    """

    mesh: Mesh
    placements: Sequence[Placement]
    states: float

    def sent(self, placement: Placement, is_trained: bool) -> int:
        """Bytes that a device sends of a variable and its gradient in a step.

        By rings: a sum over n devices takes 2 (n - 1) / n of what is summed; putting
        together, or a sum of which each keeps its part, half of it. What layers send
        of activations is not in it.
        """
        parts = self.mesh.of(DATA)
        if parts == 1 or not is_trained:
            return 0
        variable = placement.variable
        size = math.prod(variable.shape) * variable.itemsize
        others = math.prod(self.mesh.of(a) for a in placement.cut_in_use)
        # A sum of gradients; cut along data, weights put together and gradients summed.
        return round(2 * (parts - 1) / parts * size / others)

    def to_json(self, trained: Sequence[bool]) -> dict[str, Any]:
        """Everything, as plain values.

        Args:
            trained: Of each variable, whether it is.
        """
        rows = [
            {
                "variable": placement.variable.path,
                "shape": list(placement.variable.shape),
                "cut": list(placement.cut),
                "bytes_per_device": placement.bytes_per_device(self.mesh),
                "sent_bytes": self.sent(placement, is_trained),
            }
            for placement, is_trained in zip(self.placements, trained, strict=True)
        ]
        whole = sum(
            math.prod(p.variable.shape) * p.variable.itemsize for p in self.placements
        )
        own = sum(row["bytes_per_device"] for row in rows)
        return {
            "mesh": dict(self.mesh.axes),
            "variables": rows,
            "weights_bytes": whole,
            "weights_bytes_per_device": own,
            "optimizer_bytes_per_device": round(self.states * own),
            "sent_bytes": sum(row["sent_bytes"] for row in rows),
        }


def text(content: dict[str, Any]) -> str:
    """The same as a table."""
    rows = [
        (
            row["variable"],
            "x".join(map(str, row["shape"])) or "scalar",
            ", ".join(axis or "-" for axis in row["cut"]) or "-",
            f"{row['bytes_per_device']:,}",
            f"{row['sent_bytes']:,}",
        )
        for row in content["variables"]
    ]
    head = ("variable", "shape", "cut", "bytes a device", "sent a step")
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    own, whole = content["weights_bytes_per_device"], content["weights_bytes"]
    state = content["optimizer_bytes_per_device"]
    mesh = ",".join(f"{name}={size}" for name, size in content["mesh"].items())
    return "\n".join(
        [
            f"mesh: {mesh}",
            *lines,
            f"weights: {own:,} bytes a device, {own / whole:.3f} of one device's",
            f"optimizer: about {state:,} bytes a device",
            f"sent in a step: {content['sent_bytes']:,} bytes a device, of weights and "
            "gradients along data; along other axes activations",
        ]
    )
