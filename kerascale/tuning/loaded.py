"""What a job of a worker names: a recipe with its configuration."""

from typing import Any

from kerascale.config.fields import from_dict
from kerascale.config.recipes import Recipe, load_recipe


def loaded(job: dict[str, Any]) -> tuple[Recipe, Any]:
    """The recipe and the configuration of a job.

    Args:
        job: With `recipe` and `fields`.
    """
    recipe = load_recipe(job["recipe"])
    return recipe, from_dict(recipe.Config, job["fields"])
