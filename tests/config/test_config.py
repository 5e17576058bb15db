"""Bad configurations are refused with every problem; good ones survive a file."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale import config
from kerascale.config import fields
from kerascale.errors import RefusedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(config.ImageConfig):
    """A recipe's own fields."""

    units: tuple[config.PositiveInt, ...] = (128,)
    """Width of each hidden layer."""
    patch_size: config.PositiveInt | None = None
    """Side of a patch."""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rate": 0.0}, r"learning_rate: .* > 0\. Received: 0\.0"),
        ({"learning_rate": float("nan")}, r"learning_rate: .* Received: nan"),
        ({"learning_rate": float("inf")}, r"learning_rate: .* Received: inf"),
        ({"learning_rate": "fast"}, r"learning_rate: expected a number"),
        ({"batch_size": 0}, r"batch_size: .* >= 1 .*Received: 0"),
        ({"batch_size": 2.5}, r"batch_size: expected an integer"),
        ({"batch_size": True}, r"batch_size: expected an integer\. Received: True"),
        ({"epochs": -1}, r"epochs: .* >= 0 .*Received: -1"),
        ({"dropout": 1.0}, r"dropout: .* < 1\. Received: 1\.0"),
        ({"seed": 2**63}, r"seed: expected"),
        ({"optimizer": "adm"}, r"optimizer: expected one of sgd, .*Received: 'adm'"),
        ({"learning_rate": 10**400}, r"learning_rate: expected a finite number"),
        ({"batch_size": 10**20}, r"batch_size: .* < 2147483648"),
        ({"units": (64, 0)}, r"units: .* >= 1 .*Received: 0"),
        ({"units": [64]}, r"units: expected a tuple, each an integer"),
        ({"patch_size": 0}, r"patch_size: .* >= 1"),
        ({"clipnorm": 1.0, "clipvalue": 1.0}, r"at most one kind of gradient"),
        ({"max_norm": 1.0, "weight_clip": 1.0}, r"at most one constraint"),
    ],
)
def test_refused_values(values, message):
    with pytest.raises(RefusedError, match=message):
        Config(**values)


def test_all_problems_are_named_at_once():
    with pytest.raises(RefusedError) as refused:
        Config(epochs=-1, batch_size=0, learning_rate=float("nan"), optimizer="x")
    names = {problem.partition(":")[0] for problem in refused.value.problems}
    assert names == {"epochs", "batch_size", "learning_rate", "optimizer"}


@given(
    epochs=st.integers(0, 10**6),
    rate=st.floats(1e-9, 1e3),
    units=st.lists(st.integers(1, 10**4), max_size=4),
    clipnorm=st.none() | st.floats(1e-6, 1e6),
)
def test_a_configuration_survives_json(epochs, rate, units, clipnorm):
    before = Config(
        epochs=epochs, learning_rate=rate, units=tuple(units), clipnorm=clipnorm
    )
    values = json.loads(json.dumps(fields.to_dict(before)))
    assert fields.from_dict(Config, values) == before


def test_from_dict_names_unknown_fields_and_the_nearest():
    with pytest.raises(RefusedError) as refused:
        fields.from_dict(Config, {"lerning_rate": 1.0, "epochs": "many"})
    assert refused.value.problems == [
        "lerning_rate: no such field. Did you mean learning_rate?",
        "epochs: expected an integer. Received: 'many'",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ('{"fields": null}', "expected a JSON object of fields"),
        ("[1]", "expected a JSON object of fields"),
        (None, "expected a readable JSON file"),
    ],
)
def test_bad_configuration_files(tmp_path, content, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RefusedError, match=message):
        fields.read_file(path)


def test_a_run_file_and_a_plain_file_of_fields_are_both_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"recipe": "mlp", "fields": {"epochs": 3}}')
    assert fields.read_file(path) == {"recipe": "mlp", "fields": {"epochs": 3}}
    path.write_text('{"epochs": 3}')
    assert fields.read_file(path) == {"fields": {"epochs": 3}}


def test_field_docs_include_those_of_base_classes():
    docs = fields.field_docs(Config)
    assert docs["units"] == "Width of each hidden layer."
    assert set(docs) == set(fields.fields(Config))
