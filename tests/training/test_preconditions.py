"""Fields that data of a recipe's own has no use for are refused, not ignored."""

import dataclasses

import pytest

import kerascale as ks
from kerascale.errors import RefusedError
from kerascale.training import preconditions


def test_divided_data_of_the_caller():
    recipe = ks.load_recipe("mlp")
    datasets = recipe.make_datasets(recipe.Config())
    own = dataclasses.replace(datasets, divided_by=None)
    config = recipe.Config(folds=3, fold=0, group="who", hold_out_validation=False)
    with pytest.raises(RefusedError, match="4 problems") as caught:
        preconditions.refuse_undivided(config, own)
    said = [problem.split(":")[0] for problem in caught.value.problems]
    assert said == ["folds", "fold", "group", "hold_out_validation"]
    assert "with data of the recipe or of the caller" in caught.value.problems[0]
    divided = {"folds": 3, "fold": 0, "group": "who", "time": None}
    same = dataclasses.replace(datasets, divided_by=divided, validation=None)
    preconditions.refuse_undivided(config, same)
    preconditions.refuse_undivided(recipe.Config(), own)
