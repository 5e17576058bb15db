"""Model cards: read back by the Hub's own library, and checked against the model."""

import contextlib
import json
import shutil

import numpy as np
import pytest
from helpers import trust_runs

import kerascale as ks
from kerascale.cli import main
from kerascale.trust import energy
from kerascale.trust.model_card.card_run import CardError

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("fairlearn")

ATTACK = {
    "norm": "inf",
    "curve": [{"epsilon": 0.1, "fgsm": 0.5, "pgd": 0.4}, {"epsilon": 0.2, "pgd": 0.1}],
    "evidence": {"epsilon": 0.2},
    "robust": 0.05,
    "judgement": {"masked": True},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "run"
    shutil.copytree(trust_runs.loans().path, path)
    run = ks.load_run(path)
    ks.audit(run, group="sex").write()
    (run.path / "attack.json").write_text(json.dumps(ATTACK))
    (run.path / "privacy.json").write_text(json.dumps({"delta": 1e-5, "epsilon": 3.0}))
    return run


@pytest.fixture
def card(run):
    (run.path / "README.md").unlink(missing_ok=True)
    return ks.card(run, license="apache-2.0", data_license="made up").path


def test_every_result_is_read_back(run, card):
    """Also those of one data set, which the library would merge into the first."""
    loaded = huggingface_hub.ModelCard.load(card)
    assert loaded.data.license == "apache-2.0"
    assert loaded.data.library_name == "keras"
    read = {
        (each.dataset_config, each.metric_type): each.metric_value
        for each in loaded.data.eval_results
    }
    assert read["test", "accuracy"] == run.metrics["accuracy"]
    assert read["test", "loss"] == run.metrics["loss"]
    groups = json.loads((run.path / "audit.json").read_text())["groups"]
    for name, numbers in groups.items():
        value = numbers["accuracy"]["value"]
        assert read[f"test, sex = {name}", "accuracy"] == value
    assert read["all attacks, inf norm, epsilon 0.2", "accuracy"] == 0.05
    assert read["pgd, inf norm, epsilon 0.2", "accuracy"] == 0.1
    assert len(read) == len(loaded.data.eval_results)
    text = loaded.text
    assert "made up" in text
    assert "gradient is masked" in text
    assert "epsilon 3, delta 1e-05" in text
    assert run.info.fingerprint in text


def test_an_honest_card_passes(run, card, capsys):
    assert main(["card", str(run.path), "--check", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)["compared"]
    assert any(line.startswith("Accuracy on test, sex = f") for line in compared)


def test_a_number_that_was_changed_is_found(run, card, capsys):
    text = card.read_text()
    accuracy = run.metrics["accuracy"]
    card.write_text(text.replace(f"value: {accuracy}", "value: 0.999", 1))
    assert main(["card", str(run.path), "--check"]) == 1
    assert f"0.999 is said, {accuracy} was measured" in capsys.readouterr().err
    shown = f"| {accuracy:.4f} |"
    card.write_text(text.replace(shown, "| 0.9990 |", 1))
    with pytest.raises(CardError, match="the table of results is not that"):
        ks.check_card(run)


def test_a_number_that_was_left_out_is_found(run, card):
    loaded = huggingface_hub.ModelCard.load(card)
    loaded.data.eval_results = [
        each
        for each in loaded.data.eval_results
        if "sex = f" not in each.dataset_config
    ]
    loaded.save(card)
    with pytest.raises(CardError, match=r"accuracy on test, sex = f: .* is not said"):
        ks.check_card(run)


def test_another_model_is_found(run, card):
    kernel = run.model.logits.kernel
    before = kernel.numpy()
    kernel.assign(-before)
    try:
        with pytest.raises(CardError, match=r"Accuracy on test: .* was measured"):
            ks.check_card(run)
    finally:
        kernel.assign(before)


def test_what_people_write_stays(run, card):
    text = card.read_text()
    own = text.replace("*Not written yet.*", "For banks that ask a person too.", 1)
    card.write_text(own)
    again = ks.card(run)
    assert card.read_text() == own
    assert again.unwritten == ("Where the data comes from", "Known problems")
    assert again.license == "apache-2.0"


def test_bad_input_is_refused(run, card, tmp_path, capsys):
    with pytest.raises(ks.RefusedError, match="--license: expected an identifier"):
        ks.card(run, license="My Own!")
    card.write_text("# A readme of mine\n")
    with pytest.raises(ks.RefusedError, match=r"which is something else. Move it away"):
        ks.card(run)
    assert card.read_text() == "# A readme of mine\n"
    card.unlink()
    with pytest.raises(ks.RefusedError, match="--check: expected a card"):
        ks.check_card(run)
    assert main(["card", str(tmp_path)]) == 2
    assert main(["card", str(run.path), "--check", "--license", "mit"]) == 2
    assert "--license: expected without --check" in capsys.readouterr().err


def test_energy_says_what_it_cannot_know(run, card):
    sessions = [
        {
            "seconds": 10.0,
            "kwh": 0.002,
            "kg_co2": 0.001,
            "country": "DEU",
            "counters": c,
        }
        for c in (True, False)
    ]
    found = energy.summary(sessions)
    assert found["kwh"] == pytest.approx(0.004)
    assert found["how"] == "estimated, not measured"
    assert any("cooling" in what for what in found["not_known"])
    (run.path / "energy.json").write_text(json.dumps(found))
    ks.card(run)
    assert "4 Wh in 20 seconds" in card.read_text()
    (run.path / "energy.json").unlink()


def test_energy_is_measured(tmp_path):
    pytest.importorskip("codecarbon")
    with pytest.raises(ks.RefusedError, match="--energy: expected the three letters"):
        energy.refuse_unknown("XYZ")
    for _ in range(2):  # A run that goes on.
        with energy.measured("DEU", lambda: tmp_path):
            np.linalg.norm(np.ones((300, 300)))
    found = json.loads((tmp_path / "energy.json").read_text())
    with contextlib.suppress(ks.RefusedError), energy.measured("DEU", lambda: tmp_path):
        raise ks.RefusedError("the folder is another run's")
    assert json.loads((tmp_path / "energy.json").read_text()) == found
    assert len(found["sessions"]) == 2
    assert found["kwh"] > 0
    assert found["kg_co2"] > 0
