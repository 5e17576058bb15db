"""`kerascale launch kubernetes`: manifests that say what the training needs."""

import dataclasses
import json
import re

import pytest
import yaml

from kerascale.cli import main, train
from kerascale.errors import EXIT_REFUSED, EXIT_STOPPED
from kerascale.strategies import tf_config

_FLAGS = [
    "--workers",
    "12",
    "--image",
    "registry.example/kerascale:1",
    "--volume",
    "work",
]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """File name -> object, of a folder that the command wrote."""
    monkeypatch.chdir(tmp_path)

    def write(*flags, folder="k8s", command=("train", "cnn", "--epochs", "3")):
        arguments = ["launch", "kubernetes", *_FLAGS, "--write", folder, *flags, "--"]
        assert main([*arguments, *command]) == 0
        return {
            path.name: yaml.safe_load(path.read_text())
            for path in (tmp_path / folder).glob("*.yaml")
        }

    return write


def _pod(found):
    kind = found.get("job.yaml") or found["jobset.yaml"]
    spec = kind["spec"]
    if "replicatedJobs" in spec:
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    return spec, spec["template"]["spec"]


def _variables(pod, index):
    """The environment of a pod, as Kubernetes makes it."""
    found = {}
    for variable in pod["containers"][0]["env"]:
        if "valueFrom" in variable:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert "job-completion-index" in path
            found[variable["name"]] = str(index)
        else:
            found[variable["name"]] = re.sub(
                r"\$\((\w+)\)", lambda m: found[m[1]], variable["value"]
            )
    return found


@pytest.mark.parametrize("kind", ["job", "jobset"])
def test_each_worker_knows_its_place_by_names_that_its_service_resolves(written, kind):
    flags = ("--jobset", "True") if kind == "jobset" else ()
    found = written(*flags)
    _, pod = _pod(found)
    for index in (0, 2, 11):
        cluster = tf_config.from_environment(_variables(pod, index))
        assert (cluster.index, cluster.num_workers) == (index, 12)
        host = cluster.address.split(":")[0]
        first = "kerascale-cnn-1" + ("-worker-0" if kind == "jobset" else "")
        assert host == f"{first}-{index}.kerascale-cnn-1"
    if kind == "job":
        service = found["service.yaml"]["spec"]
        assert found["service.yaml"]["metadata"]["name"] == pod["subdomain"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"]
        labels = _pod(found)[0]["template"]["metadata"]["labels"]
        assert service["selector"].items() <= labels.items()
        assert found["disruption.yaml"]["spec"]["selector"]["matchLabels"] == labels
    else:
        network = found["jobset.yaml"]["spec"]["network"]
        assert network["subdomain"] == "kerascale-cnn-1"


def test_stops_that_were_announced_do_not_count_and_a_refusal_ends_it(written):
    job, pod = _pod(written("--max-restarts", "2", "--save-seconds", "300"))
    by_code, by_condition = {}, {}
    for rule in job["podFailurePolicy"]["rules"]:
        if "onExitCodes" in rule:
            (code,) = rule["onExitCodes"]["values"]
            by_code[code] = rule["action"]
        else:
            by_condition[rule["onPodConditions"][0]["type"]] = rule["action"]
    assert by_code == {EXIT_REFUSED: "FailJob", EXIT_STOPPED: "Ignore"}
    assert by_condition == {"DisruptionTarget": "Ignore"}
    assert job["backoffLimit"] == 3 * 12 - 1
    assert pod["restartPolicy"] == "Never"  # What a failure policy needs.
    assert pod["terminationGracePeriodSeconds"] == 300


def test_the_command_goes_on_in_its_run_folder_and_is_one_that_train_takes(written):
    command = ("train", "cnn", "--run-dir", "runs/a", "--epochs", "3")
    _, pod = _pod(written("--gpus", "2", command=command))
    (worker,) = pod["containers"]
    words = worker["command"]
    assert words[:6] == ["python", "-m", "kerascale", "train", "cnn", "--epochs"]
    assert "--run-dir=runs/a" in words
    flags = {w[2:].partition("=")[0].replace("-", "_") for w in words if "=" in w}
    assert flags <= {field.name for field in dataclasses.fields(train.Options)}
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == 2


def test_one_worker_needs_no_cluster(written):
    _, pod = _pod(written("--workers", "1"))
    assert "TF_CONFIG" not in _variables(pod, 0)


def test_the_index_is_a_number(written):
    _, pod = _pod(written())
    assert json.loads(_variables(pod, 7)["TF_CONFIG"])["task"]["index"] == 7


def test_files_that_say_something_else_are_kept(written, tmp_path, capfd):
    written()
    written()  # The same again.
    (tmp_path / "k8s" / "job.yaml").write_text("mine: true\n")
    arguments = ["launch", "kubernetes", *_FLAGS, "--write", "k8s"]
    assert main([*arguments, "--", "train", "cnn", "--epochs", "3"]) == 2
    assert "with other job.yaml" in capfd.readouterr().err
    assert (tmp_path / "k8s" / "job.yaml").read_text() == "mine: true\n"
    assert written("--force", "True")["job.yaml"]["kind"] == "Job"
    assert "kerascale[metrics]" in (tmp_path / "k8s" / "Dockerfile").read_text()


def test_bad_input_is_refused_at_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    arguments = ["launch", "kubernetes", "--write", "k8s", "--image", "a b"]
    arguments += ["--volume", "My_Claim", "--name", "9lives", "--memory", "lots"]
    assert main([*arguments, "--", "train", "cnn"]) == 2
    said = " ".join(capfd.readouterr().err.split())
    for message in (
        "volume: expected a DNS name of at most 63",
        "Received: 'My_Claim'",
        "name: expected a DNS name of at most 40",
        "memory: expected an amount such as 16Gi",
        "image: expected the name of an image",
    ):
        assert message in said
    assert not (tmp_path / "k8s").exists()
