"""Where each value of a configuration came from; a run keeps it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerascale.config.fields import to_dict

DEFAULT = "default"
RECIPE = "recipe"
FILE = "file"
COMMAND_LINE = "command line"
PYTHON = "Python"
AUTOMATIC = "automatic"

# What a run chooses where it was told `auto`.
_EXECUTION = ("execution", "steps_per_execution")


def find(
    asked: Any, chosen: Any, value_sources: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The origin of every field.

    Args:
        asked: The configuration with which training was called.
        chosen: The same, after what is automatic was chosen.
        value_sources: Field -> `file` or `command line`, of the fields that came from
            there; None: the configuration was made in Python, where a value that is not
            the default was told.

    Returns:
        Field -> `default` (kerascale's own), `recipe` (the recipe's default), `file`,
        `command line`, `Python` or `automatic`.
    """
    config_type = type(asked)
    before, after = to_dict(asked), to_dict(chosen)
    origins = _of_defaults(config_type)
    if value_sources is None:
        changed = [name for name in before if not _is_default(asked, name)]
        origins.update(dict.fromkeys(changed, PYTHON))
    else:
        origins.update({n: value_sources[n] for n in before if n in value_sources})
    automatic = [name for name in before if before[name] != after[name]]
    if automatic and before.get("steps_per_execution") == 1:
        # It was chosen too, even where 1 was the best.
        automatic = [*automatic, *(name for name in _EXECUTION if name in before)]
        if before["execution"] != "auto":
            automatic.remove("execution")
    origins.update(dict.fromkeys(automatic, AUTOMATIC))
    return origins


def _of_defaults(config_type: type) -> dict[str, str]:
    return {
        field.name: DEFAULT if _is_ours(config_type, field.name) else RECIPE
        for field in dataclasses.fields(config_type)
    }


def _is_ours(config_type: type, name: str) -> bool:
    """Whether a field's default is that of `kerascale.config`, for all recipes."""
    for base in config_type.__mro__:
        if name in vars(base).get("__annotations__", {}):
            return base.__module__.startswith("kerascale.config.")
    return False


def _is_default(config: Any, name: str) -> bool:
    field = type(config).__dataclass_fields__[name]
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return default is not dataclasses.MISSING and getattr(config, name) == default
