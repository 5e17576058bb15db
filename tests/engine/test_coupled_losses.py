"""Losses and steps in which rows of a batch know of each other, on two devices."""

import ast
import inspect
import pathlib
import re

import pytest
from helpers.slices.coupled import BATCH_SIZE, CASES, EXAMPLES, ROWS
from helpers.slices.devices import chosen, in_one_process, parameters
from helpers.slices.refused import contrastive

DOCS = pathlib.Path(__file__).parents[2] / "docs"


_HOOKS = ("after_update", "after_update_of_own_step", "after_update_of_sums")


@pytest.fixture(scope="module")
def found(request, forks):
    """Name of a case -> what was seen of it, in one process of two devices."""
    names = chosen(request, [f"coupled.{name}" for name in CASES])
    hooks = [f"coupled.{name}" for name in _HOOKS]  # Of a test that has no name.
    return in_one_process(forks, list(dict.fromkeys([*names, *hooks])))


# One with two optimizers, one with gathered rows, and the hook. `simclr` and
# `mean_teacher` are these at once.
_DEFAULT = ("gan", "supervised_contrastive", *_HOOKS)


@pytest.mark.parametrize("name", parameters(CASES, _DEFAULT))
def test_two_devices_give_the_result_of_one(name, found):
    print(found[name])
    assert found[name]["worst"] < 1e-12


def test_after_update_runs_once_for_each_update(found):
    steps = -(-ROWS // BATCH_SIZE) * 3
    assert found["after_update"]["updates"] == [steps]
    assert found["after_update_of_own_step"]["updates"] == [steps]
    assert found["after_update_of_sums"]["updates"] == [steps // 2]


def _functions(source):
    """What each function of a source is, whatever its line breaks and comments."""
    nodes = ast.walk(ast.parse(source))
    return {ast.dump(node) for node in nodes if isinstance(node, ast.FunctionDef)}


def test_the_page_shows_the_examples_as_they_are():
    page = (DOCS / "coupled_losses.md").read_text()
    refused, *shown = re.findall(
        r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    without_docstring = re.sub(r' *""".*?"""\n', "", inspect.getsource(contrastive))
    assert refused == without_docstring
    examples = list((DOCS / "examples").glob("*.py"))
    assert {f.stem for f in examples} == set(EXAMPLES)
    there = set().union(*(_functions(f.read_text()) for f in examples))
    for block in shown:
        assert _functions(block) <= there
    for name in EXAMPLES:
        assert f"(examples/{name}.py)" in page
