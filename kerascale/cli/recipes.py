"""`kerascale recipes`: lists the recipes; nothing is executed."""

import dataclasses
import json
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.recipes import recipe_names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """List the recipes; none is executed."""

    json: bool = False
    """Print one JSON object: name -> first line."""


def run(arguments: Sequence[str]) -> None:
    as_json = parsing.parse(Options, arguments, program="kerascale recipes").json
    found = recipe_names()
    if as_json:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, line in found.items():
        print(f"{name:<{width}}  {line}")
