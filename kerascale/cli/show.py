"""`kerascale show RECIPE`: what it does, and every field of its configuration."""

import dataclasses
import json
from collections.abc import Sequence

from kerascale.cli import parsing
from kerascale.config.fields import field_docs, fields, to_dict, type_name
from kerascale.config.recipes import load_recipe

_USAGE = "RECIPE [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Show what a recipe does, and every field of its configuration."""

    json: bool = False
    """Print one JSON object."""


def run(arguments: Sequence[str]) -> None:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale show", usage=_USAGE
    )
    options = parsing.parse(Options, rest, program="kerascale show RECIPE")
    recipe = load_recipe(name)
    docs = field_docs(recipe.Config)
    described = {
        field: {
            "type": type_name(hint),
            "limits": None if limits is None else str(limits),
            "default": default,
            "doc": docs.get(field, ""),
        }
        for (field, (hint, limits)), default in zip(
            fields(recipe.Config).items(),
            to_dict(recipe.Config()).values(),
            strict=True,
        )
    }
    if options.json:
        content = {"recipe": recipe.name, "doc": recipe.doc, "fields": described}
        print(json.dumps(content))
        return
    print(recipe.doc.strip())
    print(f"\nFile: {recipe.module.__file__}\n\nFields of its Config:")
    for field, about in described.items():
        print(f"\n  {field} = {about['default']!r}  ({about['type']})")
        print(f"      {about['doc']}")
