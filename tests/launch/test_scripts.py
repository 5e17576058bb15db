"""`launch tpu` and `launch skypilot`: files that shells and parsers take."""

import json
import subprocess

import pytest
import yaml

from kerascale.cli import main


def _bash(text):
    return subprocess.run(["bash", "-n"], input=text, text=True, check=False)


def test_tpu(tmp_path, capsys):
    where = ["--write", str(tmp_path / "pod"), "--name", "mine", "--zone", "eu-west4-a"]
    assert main(["launch", "tpu", *where, "--", "train", "cnn", "--epochs", "3"]) == 0
    assert "never run" in capsys.readouterr().out
    for name in ("start.sh", "worker.sh"):
        text = (tmp_path / "pod" / name).read_text()
        assert _bash(text).returncode == 0, name
    assert "kerascale train cnn --epochs 3 --run-dir=runs/cnn/1 --strategy tpu" in text
    assert main(["launch", "tpu", *where, "--", "train", "mlp"]) == 2
    assert "expected files that say nothing else" in capsys.readouterr().err


def test_skypilot(tmp_path, capsys):
    file = tmp_path / "task.yaml"
    where = ["--write", str(file), "--workers", "2", "--bucket", "s3://mine"]
    assert main(["launch", "skypilot", *where, "--", "train", "cnn"]) == 0
    assert "never run" in capsys.readouterr().out
    task = yaml.safe_load(file.read_text())
    assert task["num_nodes"] == 2
    assert _bash(task["run"]).returncode == 0
    # What a node would do, up to the training.
    script = task["run"].partition("exec ")[0] + 'echo "$TF_CONFIG"'
    environ = {"SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NODE_RANK": "1"}
    told = subprocess.run(
        ["bash", "-c", script],
        env={**environ, "PATH": "/usr/bin:/bin:/usr/local/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(told.stdout) == {
        "cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]},
        "task": {"type": "worker", "index": 1},
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tpu", "--name", "N!", "--zone", "z"), "name: expected small letters"),
        (("skypilot", "--bucket", "mine"), "bucket: expected s3://NAME"),
    ],
)
def test_wrong_arguments(arguments, says, tmp_path, capsys):
    flags = [*arguments, "--write", str(tmp_path / "x")]
    assert main(["launch", *flags, "--", "train", "cnn"]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
