"""What a person types, or a cluster says, that cannot be: exit 2 (rows 15, 19, 21)."""

import json
import socket

import pytest

# Row 15 ---------------------------------------------------------------------------


@pytest.mark.fault(
    15, "fields that cannot be", "all of them named at once; exit 2, no run folder"
)
@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--epoch", 3], ["--epoch", "--epochs"]),
        (["--epochs", "many"], ["epochs", "many"]),
        (
            ["--learning-rate", 0, "--batch-size", 0, "--epochs", -1],
            [
                "3 problems",
                "learning_rate: expected a finite number > 0. Received: 0",
                "batch_size: expected",
                "epochs: expected",
            ],
        ),
        (["--learning-rate", "nan"], ["learning_rate: expected", "Received: nan"]),
        (["--learning-rate", "-1e-3"], ["learning_rate: expected", "Received: -0.001"]),
        (["--units", "0"], ["units: expected"]),
        (["--optimizer", "adm"], ["optimizer", "adm"]),
        (["--skip-damaged-share", "0.1"], ["expected only with tfrecord: data"]),
        (["--dataset", "digit"], ["Did you mean digits?"]),
    ],
    ids=lambda value: " ".join(map(str, value))[:40],
)
def test_fields_that_cannot_be(command, seen, arguments, messages):
    text = command.refused("train", "mlp", "--run-dir", "run", *arguments)
    for message in messages:
        assert message in text
    seen("exit 2")


@pytest.mark.fault(15, "a configuration file with unknown fields", "exit 2")
def test_a_configuration_file(command, seen):
    path = command.folder / "config.json"
    path.write_text(json.dumps({"epoch": 3, "batch_size": "many"}))
    text = command.refused("train", "mlp", "--config", path)
    assert "Did you mean epochs?" in text
    assert "batch_size: expected" in text
    seen("exit 2, both fields named")


@pytest.mark.fault(15, "a batch smaller than the replicas", "exit 2, no run folder")
def test_a_batch_smaller_than_the_replicas(kerascale, tmp_path, seen):
    train = ["train", "mlp", "--batch-size", 2, "--run-dir", "run"]
    devices = ["--workers", 1, "--devices-per-worker", 4]
    finished = kerascale("launch", *devices, "--", *train)
    assert finished.returncode == 2, finished.stderr
    assert "each of 4 replicas. Received: a global batch of 2" in finished.stderr
    assert not (tmp_path / "run").exists()
    seen("exit 2")


# Row 19 ---------------------------------------------------------------------------


def _cluster(*workers, index=0):
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


@pytest.mark.fault(19, "a wrong TF_CONFIG", "one line; exit 2")
@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("bad JSON", '{"cluster"', "TF_CONFIG: expected JSON, such as"),
        (
            "index out of range",
            _cluster("a:2222", "b:2222", index=2),
            "task.index: expected less than 2, the number of addresses of worker",
        ),
        (
            "no cluster",
            '{"task": {"type": "worker", "index": 0}}',
            "cluster: expected an object with the addresses of the workers",
        ),
        ("bad port", _cluster("a:99999"), "expected a port from 1 to 65535"),
    ],
)
def test_a_wrong_tf_config(command, monkeypatch, seen, kind, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    assert message in command.refused("train", "mlp")
    seen(f"{kind}: exit 2")


@pytest.mark.fault(19, "an unresolvable host, no cluster", "one line; exit 2")
def test_hosts(command, monkeypatch, seen):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    hosts = (f"127.0.0.1:{port}", "no-such-host.invalid:2222")
    monkeypatch.setenv("TF_CONFIG", _cluster(*hosts))
    text = command.refused("train", "mlp")
    assert "expected hosts that have an address" in text
    assert "no-such-host.invalid:2222" in text
    monkeypatch.delenv("TF_CONFIG")
    text = command.refused("train", "mlp", "--strategy", "multi_worker_mirrored")
    assert "no TF_CONFIG" in text
    seen("exit 2")


# Row 21 ---------------------------------------------------------------------------

_NAMES = [
    "../x",
    "/abs",
    "a/b",
    "mlp\0",
    "x\0.py",
    "mlp\u2024py",
    "\uff0e\uff0e/mlp",
    "mlp/../../x.py",
    "..",
    ".",
    "",
    "mlp\n",
    "\u217flp",
]


@pytest.mark.fault(21, "recipe names that are paths or tricks", "exit 2")
@pytest.mark.parametrize("name", _NAMES, ids=ascii)
@pytest.mark.parametrize("action", ["train", "show"])
def test_recipe_names(command, seen, action, name):
    assert "recipe" in command.refused(action, name).lower()
    seen("exit 2")
