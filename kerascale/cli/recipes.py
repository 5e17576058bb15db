"""`kerascale recipes`: lists the recipes; nothing is executed."""

import json
from collections.abc import Sequence

from kerascale.errors import RefusedError
from kerascale.registry import recipe_names


def run(arguments: Sequence[str]) -> None:
    if list(arguments) not in ([], ["--json"]):
        if "--help" in arguments or "-h" in arguments:
            print("usage: kerascale recipes [--json]\n\nLists the recipes.")
            return
        raise RefusedError(
            f"expected no arguments, or --json. Received: {' '.join(arguments)}"
        )
    found = recipe_names()
    if arguments:
        print(json.dumps(found))
        return
    width = max(map(len, found))
    for name, line in found.items():
        print(f"{name:<{width}}  {line}")
