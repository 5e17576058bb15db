"""The faults that `--plant` knows, and what a recipe needs for them to show."""

import dataclasses
from typing import Any

from kerascale.config.fields import fields
from kerascale.errors import RefusedError

# Fault -> what it does on several replicas.
PLANTS = {
    "clip-before-reduce": "each replica clips its own gradient, before they are added",
    "mean-of-means": "each slice counts the same, however many examples it has",
    "same-mask": "dropout draws the same mask on every replica",
}
# Far below the norm of any gradient at the start.
_CLIP_NORM = 0.01
_DROPOUT = 0.2


def prepare(plant: str, config: Any) -> tuple[Any, str]:
    """Sets the fields of a recipe that a fault needs.

    Args:
        plant: One of `PLANTS`.
        config: The recipe's configuration.

    Returns:
        The configuration for all kinds of hardware, and what was set, in words.

    Raises:
        RefusedError: If the recipe has no such field.
    """
    changes = {}
    if plant == "clip-before-reduce":
        changes = {"clipnorm": None, "clipvalue": None, "global_clipnorm": _CLIP_NORM}
        needed = "global_clipnorm"
    elif plant == "same-mask":
        changes = {} if getattr(config, "dropout", None) else {"dropout": _DROPOUT}
        needed = "dropout"
    else:
        return config, ""
    known = fields(type(config))
    if needed not in known:
        raise RefusedError(
            f"plant {plant}: expected a recipe with the field {needed}. Received: one "
            "without. Choose another fault, or another recipe."
        )
    changes = {
        name: value
        for name, value in changes.items()
        if name in known and getattr(config, name) != value
    }
    if not changes:
        return config, ""
    words = ", ".join(f"{name}={value}" for name, value in changes.items())
    return dataclasses.replace(config, **changes), f"sets {words} everywhere"
