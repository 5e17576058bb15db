"""`kerascale show RECIPE`: what it does, and every field of its configuration."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Literal

from kerascale.cli import parsing, quiet
from kerascale.config.fields import field_docs, fields, to_dict, type_name
from kerascale.config.recipes import Recipe, load_recipe

_USAGE = "RECIPE [--mesh data=2,model=4] [--json]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Show what a recipe does, and every field of its configuration."""

    mesh: str | None = None
    """Show how each variable of its model is cut over a mesh, data=2,model=4, and what
    is sent in a step. Fields of the recipe may follow."""
    strategy: Literal["model_parallel", "fsdp"] = "model_parallel"
    """How, on a mesh."""
    json: bool = False
    """Print one JSON object."""


def run(arguments: Sequence[str]) -> None:
    (name,), rest = parsing.positional(
        arguments, ["RECIPE"], program="kerascale show", usage=_USAGE
    )
    recipe = load_recipe(name)
    if parsing.value_of(rest, "--mesh") is not None:
        _show_layout(recipe, rest)
        return
    options = parsing.parse(Options, rest, program="kerascale show RECIPE")
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


def _show_layout(recipe: Recipe, arguments: Sequence[str]) -> None:
    command = dataclasses.make_dataclass(
        "Show", [("shown", Options), ("recipe", recipe.Config)]
    )
    parsed = parsing.parse(
        command,
        arguments,
        program=f"kerascale show {recipe.name}",
        default=command(Options(), recipe.Config()),
    )
    quiet.import_tensorflow()
    from kerascale.strategies.layouts import shown
    from kerascale.training import layout

    options = parsed.shown
    content = layout.of_recipe(recipe, parsed.recipe, options.mesh, options.strategy)
    print(json.dumps(content) if options.json else shown.text(content))
