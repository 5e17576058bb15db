"""Versions are listed, labelled, rolled back and removed; a server reads the labels."""

import json
import re
import shutil

import pytest

import kerascale as ks
from kerascale.serving import server_files, versions


@pytest.fixture(scope="module")
def four(exported, tmp_path_factory):
    """Version 1 of a run, and three that are the same."""
    base = tmp_path_factory.mktemp("four") / "mlp"
    shutil.copytree(exported("mlp").base, base)
    for number in ("2", "3", "4"):
        shutil.copytree(base / "1", base / number)
    labels = {"stable": 1, "canary": 4}
    server_files.write(base, server_files.ModelFile("mlp", "/models/mlp", labels))
    return base


@pytest.fixture
def base(four, tmp_path):
    return shutil.copytree(four, tmp_path / "mlp")


def _labels(base):
    return server_files.read(base).labels


def _served(base):
    text = (base / "models.config").read_text()
    return [int(number) for number in re.findall(r"versions: (\d+)", text)]


def test_the_files_of_a_first_version(exported):
    base = exported("mlp").base
    assert {path.name for path in base.iterdir()} >= {
        "1",
        "models.config",
        "batching_parameters.txt",
        "monitoring.config",
    }
    text = " ".join((base / "models.config").read_text().split())
    assert text == (
        'model_config_list { config { name: "mlp" base_path: "/models/mlp" '
        'model_platform: "tensorflow" model_version_policy { specific { versions: 1 } '
        '} version_labels { key: "stable" value: 1 } } }'
    )


def test_a_second_version_is_the_canary(exported, tmp_path):
    base = shutil.copytree(exported("mlp").base, tmp_path / "mlp")
    (base / "batching_parameters.txt").write_text("max_batch_size { value: 7 }\n")
    assert ks.export_saved_model(exported("mlp").run, base).name == "2"
    assert _labels(base) == {"stable": 1, "canary": 2}
    assert _served(base) == [1, 2]
    # What somebody has set stays.
    text = (base / "batching_parameters.txt").read_text()
    assert text == "max_batch_size { value: 7 }\n"


def test_versions_of_before_there_were_labels(exported, tmp_path):
    base = shutil.copytree(exported("mlp").base, tmp_path / "mlp")
    (base / "models.config").unlink()
    ks.export_saved_model(exported("mlp").run, base)
    assert _labels(base) == {"stable": 1, "canary": 2}


def test_promote_and_roll_back(base):
    assert versions.promote(base, 3) == {"stable": 3, "previous": 1, "canary": 4}
    assert versions.promote(base, 4) == {"stable": 4, "previous": 3}
    assert _served(base) == [3, 4]
    assert versions.rollback(base) == {"stable": 3}
    # Whoever asks for no label gets the highest version that is served.
    assert _served(base) == [3]
    assert versions.served(base).name == "3"
    with pytest.raises(ks.RefusedError, match="a version with the label previous"):
        versions.rollback(base)
    with pytest.raises(ks.RefusedError, match="one of the versions 1, 2, 3, 4"):
        versions.promote(base, 5)
    assert _labels(base) == {"stable": 3}


def test_prune_leaves_labelled_versions(base):
    assert versions.prune(base, 2) == [2]
    assert [version.number for version in versions.find(base)] == [1, 3, 4]
    assert versions.prune(base, 1) == [3]
    assert [version.number for version in versions.find(base)] == [1, 4]
    assert versions.prune(base, 1) == []


def test_the_next_number_is_never_one_of_before(base, exported):
    versions.promote(base, 4)
    assert versions.prune(base, 1) == [2, 3]
    assert ks.export_saved_model(exported("mlp").run, base).name == "5"


def test_a_policy_of_somebodys_own_stays(base):
    file = base / "models.config"
    text = re.sub(r"specific \{.*?\}", "all { }", file.read_text(), flags=re.DOTALL)
    file.write_text("# by hand\n" + text.replace("/models/mlp", "/srv/mlp"))
    versions.promote(base, 2)
    text = " ".join(file.read_text().split())
    assert 'base_path: "/srv/mlp"' in text
    assert "model_version_policy { all { } }" in text
    assert _labels(base) == {"stable": 2, "previous": 1, "canary": 4}


@pytest.mark.parametrize(
    "text", ["model_config_list {", "no proto", "model_config_list { }", "\xff"]
)
def test_a_damaged_models_config_is_refused(base, kerascale, text):
    (base / "models.config").write_bytes(text.encode("latin-1"))
    for arguments in (["versions", base], ["export", "nowhere", base]):
        finished = kerascale(*arguments)
        assert finished.returncode == 2, finished.stderr
        assert "expected a ModelServerConfig of one model" in finished.stderr


def test_the_command(base, kerascale):
    listed = kerascale("versions", base)
    assert listed.returncode == 0, listed.stderr
    lines = listed.stderr.splitlines()
    assert lines[0].split() == ["version", "labels", "metric", "time", "size", "run"]
    assert lines[1].split()[:3] == ["1", "stable", "accuracy"]
    assert lines[4].split()[:2] == ["4", "canary"]

    promoted = json.loads(kerascale("versions", base, "--promote", 4, "--json").stdout)
    assert [row["labels"] for row in promoted["versions"]] == [
        ["previous"],
        [],
        [],
        ["stable"],
    ]
    row = promoted["versions"][0]
    assert row["recipe"] == "mlp"
    assert 0 <= row["metrics"]["accuracy"] <= 1
    pruned = json.loads(kerascale("versions", base, "--prune", 1, "--json").stdout)
    assert pruned["removed"] == [2, 3]

    assert kerascale("versions", base, "--check-files").returncode == 0
    (base / "4" / "assets.extra" / "labels.json").write_text("[]")
    checked = kerascale("versions", base, "--check-files")
    assert checked.returncode == 1
    assert "DAMAGED: 4: assets.extra/labels.json" in checked.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--promote", "9"], "--promote: expected one of the versions"),
        (["--promote", "1", "--rollback"], "one change at a time"),
        (["--prune", "0"], "--prune: expected at least 1. Received: 0"),
        (["--rollback"], "expected a version with the label previous"),
    ],
)
def test_bad_commands_are_refused(base, kerascale, arguments, message):
    before = (base / "models.config").read_bytes()
    finished = kerascale("versions", base, *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert (base / "models.config").read_bytes() == before


def test_a_folder_without_versions(kerascale, tmp_path):
    finished = kerascale("versions", tmp_path / "none")
    assert finished.returncode == 2
    assert "expected a folder with numbered versions" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_worse_run_is_refused_by_the_command(exported, kerascale, tmp_path):
    base = shutil.copytree(exported("mlp").base, tmp_path / "mlp")
    run = shutil.copytree(exported("mlp").run.path, tmp_path / "run")
    metrics = json.loads((run / "evaluation.json").read_text())
    worse = {**metrics, "accuracy": metrics["accuracy"] - 0.05}
    (run / "evaluation.json").write_text(json.dumps(worse))
    refused = kerascale("export", run, base)
    assert refused.returncode == 1, refused.stderr
    assert "accuracy: expected no more than 0.02 worse" in refused.stderr
    assert "Nothing was exported" in refused.stderr
    assert [path.name for path in base.glob("*/")] == ["1"]
    allowed = kerascale("export", run, base, "--max-drop", "0.06", "--json")
    assert allowed.returncode == 0, allowed.stderr
    assert json.loads(allowed.stdout)["version"] == "2"
    assert kerascale("export", run, base, "--max-drop", "-1").returncode == 2
