"""Audits: each number against one that was computed another way."""

import dataclasses
import json
import types

import numpy as np
import pandas as pd
import pytest
from helpers import trust_runs

import kerascale as ks
from kerascale.cli import main
from kerascale.datasets import carried
from kerascale.reporting import mistakes
from kerascale.serving.batch_prediction import predict
from kerascale.trust.auditing import (
    audit_run,
    calibration,
    drift,
    groups,
    rates,
    reading,
)

pytest.importorskip("fairlearn")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("loans")


@pytest.fixture(scope="module")
def run():
    return trust_runs.loans()


@pytest.fixture(scope="module")
def audit(run):
    return ks.audit(run, group="sex")


def test_rates_are_those_of_a_table_of_predictions(run, folder):
    """A column that the model does not know, on other rows, by pandas."""
    path = folder / "new.csv"
    trust_runs.write_loans(path, rows=500, seed=2)
    found = ks.audit(run, group="sex", data=f"csv:{path}")
    table = pd.read_csv(path)
    table["said"] = predict(run, path)["class"]
    table["right"] = table.said == table.paid
    for group in found.groups:
        rows = table[table.sex == group.name]
        assert group.examples == len(rows)
        values = {name: value[0] for name, value in group.values.items()}
        positive, negative = rows[rows.paid == "yes"], rows[rows.paid == "no"]
        assert values == pytest.approx(
            {
                "accuracy": rows.right.mean(),
                "selection_rate": (rows.said == "yes").mean(),
                "true_positive_rate": (positive.said == "yes").mean(),
                "false_positive_rate": (negative.said == "yes").mean(),
            }
        )
    shares = (table.said == "yes").groupby(table.sex).mean()
    parity = found.differences["demographic_parity_difference"]["value"]
    assert parity == pytest.approx(shares.max() - shares.min())


def test_a_column_comes_with_its_examples(run):
    """In the order of the split: a column that the model does read shows it."""
    with carried.column("job"):
        datasets, source = mistakes.open_split(run, "test")
    x = np.concatenate([np.asarray(x) for x, _ in source.dataset()])
    start = 0
    for column in run.vectorizer.read:
        if column.name == "job":
            names = ["", "", *column.values]
            found = [names[int(cell)] for cell in x[:, start]]
        start += column.width
    assert found == datasets.origins["test"].tolist()
    assert len(set(found)) == 3


def test_who_is_favoured_is_seen(audit):
    """Women who pay are turned down more often: the labels favour men."""
    assert {group.name for group in audit.groups} == {"f", "m"}
    first, second = (group.values["accuracy"][0] for group in audit.groups)
    assert first <= second
    assert audit.worst is audit.groups[0]
    odds = audit.differences["equalized_odds_difference"]
    assert odds["value"] > 0.1
    assert odds["p"] < 0.05


def test_the_page_and_the_file(audit, run):
    page = audit.write().read_text()
    assert "Groups by sex" in page
    assert "cannot all hold" in page
    content = json.loads((run.path / "audit.json").read_text())
    assert content["worst"] == audit.worst.name
    low, high = content["overall"]["accuracy"]["interval"]
    assert low < content["overall"]["accuracy"]["value"] < high


def test_small_groups_are_said_and_compared_with_nothing(run):
    found = ks.audit(run, group="rare")
    assert found.small == ("yes",)
    assert found.groups[-1].is_small
    assert found.differences == {}
    assert "fewer than 20 examples, compared with nothing: yes" in found.text()


def test_numbers_are_cut_into_quarters():
    values = np.array([str(number) for number in range(100)] + ["?"])
    found = groups.of_values("age", values)
    assert found.names[0] == "(none)"
    assert found.sizes.tolist() == [1, 25, 25, 25, 25]
    assert "quarter" in found.note


def test_bad_columns_are_refused(run, capsys):
    with pytest.raises(ks.RefusedError, match=r"'height', which csv:.* has not. There"):
        ks.audit(run, group="height")
    many = np.array([f"name {number}" for number in range(80)])
    with pytest.raises(ks.RefusedError, match="with 80 different values"):
        groups.of_values("name", many)
    arguments = ["audit", str(run.path), "--data", "csv:x.csv", "--split", "test"]
    assert main(arguments) == 2
    assert "--split: expected without --data" in capsys.readouterr().err
    config = dataclasses.replace(run.config, dataset="digits", label=None)
    with pytest.raises(ks.RefusedError, match="expected a column of csv:"):
        carried.values_of("digits", "sex", config)


def test_drift(run, folder):
    same, other = folder / "same.csv", folder / "richer.csv"
    trust_runs.write_loans(same, rows=400, seed=6)
    trust_runs.write_loans(other, rows=400, seed=4, raise_of=1.0)
    quiet = ks.audit(run, against=str(same))
    assert not any(each.is_found for each in quiet.columns)
    assert quiet.told_apart < 0.6
    again = ks.audit(run, against=run.info.name)
    assert again.copies > 500
    found = ks.audit(run, against=f"csv:{other}")
    assert [each.name for each in found.columns if each.is_found] == ["income"]
    assert found.columns[0].psi > drift.LARGE
    assert found.told_apart > 0.7
    assert any(each.is_found for each in found.answers)


def test_intervals_hold_at_the_ends():
    """Wilson's, by hand: 0 of 10 and 5 of 10."""
    assert rates.interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert rates.interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert rates.interval(0, 0) == (0, 1)


def test_chance_makes_no_difference_significant():
    random = np.random.default_rng(0)
    of = groups.Groups("g", ("a", "b"), random.integers(0, 2, 300))
    hits = random.random(300) < 0.7
    assert rates.chance_of_gap(hits, of, 0)["p"] > 0.05
    hits = random.random(300) < np.where(of.of == 1, 0.9, 0.6)
    assert rates.chance_of_gap(hits, of, 0)["p"] < 0.01


def _asked(labels, outputs):
    of = groups.Groups("g", ("a", "b"), np.repeat([0, 1], len(labels) // 2))
    return reading.Answered("test", of, labels, outputs, None)


def test_numbers_that_are_off_to_one_side():
    """Group b is said 3 too much; the deviation of the target does not matter."""
    random = np.random.default_rng(0)
    labels = random.normal(size=(200, 1)).astype(np.float32)
    outputs = labels + random.normal(scale=0.1, size=labels.shape)
    outputs[100:] += 3
    run = types.SimpleNamespace(info=types.SimpleNamespace(target_scale=(2.0,)))
    _, found, differences, calibrated = audit_run._of_numbers(
        run, _asked(labels, outputs), 0
    )
    assert [group.name for group in found] == ["b", "a"]
    value, low, high = found[0].values["bias"]
    assert value == pytest.approx(3, abs=0.05)
    assert low < value < high
    assert differences["bias_difference"]["value"] == pytest.approx(3, abs=0.05)
    assert differences["mae_difference"]["p"] < 0.01
    assert calibrated is None


def test_several_labels():
    labels = np.tile(np.array([[1, 0, 1]], np.float32), (80, 1))
    outputs = np.where(labels == 1, 0.9, 0.1)
    outputs[40:, 2] = 0.2
    _, found, differences, _ = audit_run._of_labels(None, _asked(labels, outputs), 0)
    assert [group.name for group in found] == ["b", "a"]
    assert found[0].values["accuracy"][0] == pytest.approx(2 / 3)
    assert differences["accuracy_difference"]["value"] == pytest.approx(1 / 3)


def test_a_group_without_positives_has_no_rate_of_them():
    """The library takes it for 0, and finds a model without a mistake unfair."""
    of = groups.Groups("g", ("a", "b"), np.repeat([0, 1], 30))
    truth = np.arange(60) < 15
    found = rates.differences(truth, truth, of, 0)
    assert found["equalized_odds_difference"]["value"] == 0
    from fairlearn import metrics

    trusted = metrics.equalized_odds_difference(truth, truth, sensitive_features=of.of)
    assert trusted == 1, "fairlearn has mended it: take its number"
    nobody = rates.differences(truth, np.zeros(60, bool), of, 0)
    assert "demographic_parity_ratio" not in nobody


def test_calibration():
    random = np.random.default_rng(0)
    sure = random.uniform(0.5, 1, 2000)
    honest = calibration.measure(sure, random.random(2000) < sure, 0)
    assert honest["ece"] < honest["ece_by_chance"] < 0.06
    boasting = calibration.measure(sure, random.random(2000) < sure - 0.2, 0)
    assert boasting["ece"] == pytest.approx(0.2, abs=0.03)
    assert boasting["ece"] > boasting["ece_by_chance"]
    assert sum(each["examples"] for each in honest["bins"]) == 2000
