"""A scaled model does what Keras does, whatever it is given."""

import inspect
import json
import os

import keras
import pytest
from helpers import drop_in

# By default, where the engine has a way of its own; with the others they are `slow`.
ON_ONE_DEVICE = (
    "arrays",
    "weighted_and_validated",
    "split_off",
    "steps_of_repeated_data",
    "callbacks",
    "callback_list",
    "one_label_in_a_list",
    "one_output_in_a_list",
    "labels_in_a_list",
    "an_input_that_is_absent",
    "py_dataset",
    "pandas",
    "evaluate",
    "predict",
    "on_batch",
    "many_steps_in_an_execution",
    "logs_of_a_step_of_ones_own",
    "metrics_of_ones_own",
    "limits_of_the_configuration",
    "evaluated_before_it_is_scaled",
)
ON_TWO_DEVICES = (
    "labels_in_a_list",
    "one_output_in_a_list",
    "an_input_that_is_absent",
    "py_dataset",
    "on_batch",
    "logs_of_a_step_of_ones_own",
    "metrics_of_ones_own",
)
DEFAULT = {"one": ON_ONE_DEVICE, "two": ON_TWO_DEVICES}
# Arguments are those of Keras: an argument that it adds fails until it has a case.
METHODS = (
    "compile",
    "fit",
    "evaluate",
    "predict",
    "train_on_batch",
    "test_on_batch",
    "predict_on_batch",
)
# Refused, or other than in Keras, on purpose: (case, how) -> words of the message.
OTHERWISE = {}


@pytest.fixture(scope="session")
def found(request, forks, tmp_path_factory):
    """How -> case -> what it gives: of the cases that this session has."""
    kept, wanted = {}, {}
    for item in request.session.items:
        if item.name.startswith("test_as_keras["):
            name, how = (item.callspec.params[key] for key in ("name", "how"))
            wanted.setdefault(how, []).append(name)
            wanted.setdefault("plain", []).append(name)

    def run(how):
        if how not in kept:
            command = [drop_in.__file__, how, *sorted(set(wanted[how]))]
            folder = tmp_path_factory.mktemp("drop_in")
            code, out, err = forks.run(command, cwd=folder, env=dict(os.environ))
            assert code == 0, err
            kept[how] = json.loads(out.splitlines()[-1])
        return kept[how]

    return run


def test_every_argument_of_keras_has_a_case():
    has = set().union(*drop_in.COVERS.values())
    wanted = {
        f"{method}.{name}"
        for method in METHODS
        for name, p in inspect.signature(
            getattr(keras.Model, method)
        ).parameters.items()
        if name != "self" and p.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert has == wanted


def _parameters(method):
    signature = inspect.signature(getattr(keras.Model, method))
    return [(name, p.kind) for name, p in signature.parameters.items()]


def _cells():
    for name in drop_in.CASES:
        for how in ("one", "two", "one_program", "split"):
            is_default = name in DEFAULT.get(how, ())
            marks = [] if is_default else [pytest.mark.slow]
            yield pytest.param(name, how, marks=marks, id=f"{name}-{how}")


@pytest.mark.parametrize(("name", "how"), _cells())
def test_as_keras(name, how, found):
    expected, given = found("plain")[name], found(how)[name]
    words = OTHERWISE.get((name, how))
    if words is not None:
        assert words in given
        return
    assert not isinstance(expected, str), expected
    assert not isinstance(given, str), given
    _compare(expected, given, name)


def _compare(expected, given, where):
    if isinstance(expected, dict):
        assert given.keys() == expected.keys(), where
        for key in expected:
            _compare(expected[key], given[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(given) == len(expected), where
        for number, pair in enumerate(zip(expected, given, strict=True)):
            _compare(*pair, f"{where}/{number}")
    elif isinstance(expected, float):
        assert given == pytest.approx(expected, rel=1e-9), where
    else:
        assert given == expected, where
