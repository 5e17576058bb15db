"""What is searched, as it is typed."""

import pytest

import kerascale as ks
from kerascale.cli import tune
from kerascale.config.recipes import recipe_names
from kerascale.errors import RefusedError
from kerascale.tuning import planned, space


def _parse(recipe, *texts):
    return space.parse(recipe.Config, texts)


def test_ranges_and_choices(recipe):
    rate, units, size, clip, optimizer = _parse(
        recipe,
        "learning_rate=log:1e-4..1e-1",
        "units=[64, 128 64]",
        "batch-size=16..70/16",
        "clipnorm=[None,1.5]",
        "optimizer=[adam,sgd]",
    )
    assert (rate.low, rate.high, rate.log, rate.is_integer) == (1e-4, 1e-1, True, False)
    assert units.choices == ((64,), (128, 64))
    assert units.listed == ("64", "128 64")
    assert units.value("128 64") == (128, 64)
    # The end is a value that can be chosen.
    assert (size.high, size.listed) == (64, (16, 32, 48, 64))
    assert clip.choices == (None, 1.5)
    assert optimizer.choices == ("adam", "sgd")
    assert planned.grid_size([units, size, clip]) == 16


def test_everything_that_is_wrong_is_named_at_once(recipe):
    texts = (
        "learning_rat=1..2",
        "units=[]",
        "dropout=0.5..0.2",
        "learning_rate=log:0..1",
        "batch_size=1.5..8",
        "optimizer=adam..sgd",
        "optimizer=[adam,adm]",
        "l2=[1,1]",
        "epochs",
        "fold=[0,1]",
    )
    with pytest.raises(RefusedError, match="learning_rat: no such field") as refused:
        _parse(recipe, *texts)
    said = "\n".join(refused.value.problems)
    for part in (
        "units: expected at least one value",
        "dropout: expected a range whose first number is the smaller one",
        "learning_rate: expected numbers above 0 behind log:",
        "batch_size: expected a whole number. Received: '1.5'",
        "optimizer: expected values in brackets",
        "Received: 'adm'",
        "l2: expected each value once",
        "--field: expected NAME=LOW..HIGH",
        "--field fold: expected a field that leaves the examples",
    ):
        assert part in said
    assert len(refused.value.problems) == len(texts)


def test_a_value_that_the_field_cannot_have_is_refused(recipe):
    with pytest.raises(RefusedError, match=r"dropout: expected a finite number >= 0"):
        _parse(recipe, "dropout=0..1.5")


def test_a_range_without_end_has_no_grid(recipe):
    dimensions = _parse(recipe, "learning_rate=1e-4..1e-1", "units=[1,2]")
    with pytest.raises(RefusedError, match="for learning_rate"):
        planned.grid_size(dimensions)


@pytest.mark.parametrize("name", recipe_names())
def test_what_a_recipe_proposes_can_be_searched(name):
    recipe = ks.load_recipe(name)
    dimensions = space.parse(recipe.Config, recipe.search)
    assert len(dimensions) >= 3
    for each in dimensions:
        recipe.Config(**{each.name: each.example})


def test_a_flag_that_is_given_is_not_searched():
    recipe = ks.load_recipe("mlp")
    *_, dimensions = tune._parse(recipe, ["--units", "8", "--members", "4"])
    names = {each.name for each in dimensions}
    assert "units" not in names
    assert names == {t.partition("=")[0] for t in recipe.search} - {"units"}
    *_, dimensions = tune._parse(recipe, ["--field", "dropout=0..0.1"])
    assert [each.name for each in dimensions] == ["dropout"]
