"""How a recipe's model would be cut over a mesh, without the mesh or JAX."""

from typing import Any

from kerascale.config.recipes import Recipe
from kerascale.engine.mesh import described
from kerascale.strategies.layouts import shown
from kerascale.strategies.mesh import parse
from kerascale.strategies.model_parallel import ModelParallel
from kerascale.training.build import make_datasets, make_model


def of_recipe(recipe: Recipe, config: Any, mesh: str, strategy: str) -> dict[str, Any]:
    """Each variable, its cut, bytes per device, and what is sent in a step.

    Args:
        recipe: A recipe.
        config: Its configuration.
        mesh: `data=2,model=4`.
        strategy: `model_parallel` or `fsdp`.

    Raises:
        RefusedError: Naming all that is wrong with the mesh or the layout.
    """
    asked = ModelParallel(parse(mesh), fully_sharded=strategy == "fsdp")
    model = make_model(recipe, config, make_datasets(recipe, config))
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    placements = described.assigned(model, asked)
    total = sum(variable.value.shape.num_elements() for variable in model.weights)
    states = sum(v.value.shape.num_elements() for v in model.optimizer.variables)
    trained = {id(variable) for variable in model.trainable_variables}
    content = shown.Shown(asked.mesh, placements, states / max(1, total)).to_json(
        [id(variable) in trained for variable in described.of_model(model)]
    )
    return {"recipe": recipe.name, "strategy": strategy, **content}
