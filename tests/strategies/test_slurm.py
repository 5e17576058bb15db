"""A Slurm step becomes a cluster: variables, node lists, and where workers meet."""

import contextlib
import json
import socket
import threading
import time

import pytest

import kerascale as ks
from kerascale.strategies import tf_config
from kerascale.strategies.slurm import joining, meeting, node_list
from kerascale.strategies.slurm import step as slurm_step


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kn1", ["kn1"]),
        # TensorFlow's resolver gives these in the order of their letters.
        ("gpu[8-10]", ["gpu8", "gpu9", "gpu10"]),
        ("gpu[08-10,2],login-1", ["gpu08", "gpu09", "gpu10", "gpu2", "login-1"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("a.example.org,b", ["a.example.org", "b"]),
    ],
)
def test_lists_of_nodes(text, expected):
    assert node_list.nodes(text) == expected


@pytest.mark.parametrize("text", ["", "a[", "a[3-1]", "a[x]", "a,,b", "a[1-999999999]"])
def test_what_is_no_list_of_nodes(text):
    with pytest.raises(ValueError, match="expected"):
        node_list.nodes(text)


def test_lists_of_tasks():
    assert node_list.tasks("2(x3),1") == [2, 2, 2, 1]
    for text in ("", "2(x", "a", "1(x999999999)"):
        with pytest.raises(ValueError, match="numbers of tasks"):
            node_list.tasks(text)


def _environ(node=0, local=0, nodes="kn[1-2]", tasks="2,1", job="7", **other):
    names = node_list.nodes(nodes)
    count = sum(node_list.tasks(tasks))
    return {
        "SLURM_JOB_ID": job,
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": str(count),
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_NODEID": str(node),
        "SLURM_LOCALID": str(local),
        "SLURMD_NODENAME": names[node],
        **other,
    }


def test_ranks_follow_nodes():
    places = [(0, 0), (0, 1), (1, 0)]
    steps = [slurm_step.read(_environ(*place)) for place in places]
    assert [step.rank for step in steps] == [0, 1, 2]
    assert [steps[0].node_of(rank) for rank in range(3)] == ["kn1", "kn1", "kn2"]
    assert [tf_config.is_chief(_environ(*p)) for p in places] == [True, False, False]


def test_outside_of_a_step_of_several_tasks_there_is_nothing():
    batch_script = _environ() | {"SLURM_STEP_ID": "batch"}
    alone = _environ() | {"SLURM_STEP_NUM_TASKS": "1"}
    for environ in ({}, batch_script, alone):
        assert slurm_step.read(environ) is None
        assert joining.join(environ) is None
        assert tf_config.is_chief(environ)
    told = _environ() | {"TF_CONFIG": '{"cluster": {}}'}
    assert joining.join(dict(told)) is None


@pytest.mark.parametrize(
    ("changed", "messages"),
    [
        ({"SLURM_STEP_NODELIST": "kn[", "SLURM_NODEID": "x"},
         ["SLURM_STEP_NODELIST: expected names", "SLURM_NODEID: expected an integer"]),
        ({"SLURM_STEP_TASKS_PER_NODE": "3"}, ["one for each of the 2 nodes"]),
        ({"SLURM_STEP_NUM_TASKS": "5"}, ["expected 5 in all. Received: 3"]),
        ({"SLURM_LOCALID": "2"}, ["SLURM_LOCALID: expected less than 2"]),
        ({"SLURM_NODEID": "2"}, ["SLURM_NODEID: expected less than 2"]),
        ({"SLURMD_NODENAME": "kn2"}, ["expected this host, kn2, at place 0"]),
    ],
)  # fmt: skip
def test_variables_that_contradict_one_another(changed, messages):
    with pytest.raises(ks.RefusedError) as caught:
        slurm_step.read(_environ() | changed)
    for message in messages:
        assert message in str(caught.value)


@pytest.fixture
def local(monkeypatch):
    """All nodes are this machine."""
    connect = socket.create_connection
    monkeypatch.setattr(
        socket, "create_connection", lambda at, *rest: connect(("127.0.0.1", at[1]))
    )


def _met(environs, timeout):
    """What each of several workers gets, or the error, in the order of ranks."""
    results = [None] * len(environs)

    def join(place, environ):
        try:
            joining.join(environ, timeout)
            results[place] = json.loads(environ["TF_CONFIG"])
        except ks.RefusedError as error:
            results[place] = error

    threads = [threading.Thread(target=join, args=item) for item in enumerate(environs)]
    for thread in reversed(threads):  # The first worker comes last.
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join()
    return results


def test_workers_meet_and_know_each_other(local, monkeypatch):
    monkeypatch.setattr(meeting, "_ANSWER_SECONDS", 1.0)
    places = [(0, 0), (0, 1), (1, 0)]
    environs = [_environ(*place, job="8") for place in places]
    with contextlib.ExitStack() as stack:
        # Somebody else has the first port, and does not answer as a worker would.
        port = meeting.ports(slurm_step.read(environs[0]))[0]
        other = stack.enter_context(socket.create_server(("", port)))
        other.settimeout(0.1)
        found = _met(environs, 60)
    workers = found[0]["cluster"]["worker"]
    assert [each["cluster"]["worker"] for each in found] == [workers] * 3
    assert [each["task"]["index"] for each in found] == [0, 1, 2]
    hosts, ports = zip(*(worker.split(":") for worker in workers), strict=True)
    assert hosts == ("kn1", "kn1", "kn2")
    assert len(set(ports)) == 3
    assert environs[0]["TF_NUM_INTRAOP_THREADS"]


def test_who_is_missing_is_named_to_all(local):
    environs = [_environ(*place, job="9") for place in ((0, 0), (0, 1))]
    for error in _met(environs, 1.5):
        assert isinstance(error, ks.RefusedError)
        assert "worker 2 on kn2" in str(error)
        assert "worker 1 on kn1" not in str(error)


def test_without_the_first_worker_there_is_none(local):
    (error,) = _met([_environ(1, 0, job="10")], 1)
    assert "worker 0 on kn1" in str(error)
