"""TF_CONFIG is read as tf.distribute reads it, or refused with every problem."""

import json
import re
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale.errors import RefusedError
from kerascale.strategies import tf_config
from kerascale.strategies.tf_config import Cluster

_TWO = ["a:1", "b:2"]
_FIRST = {"type": "worker", "index": 0}


def _environ(jobs, task):
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": task})}


@pytest.mark.parametrize("environ", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "  \n"}])
def test_without_tf_config_there_is_no_cluster(environ):
    assert tf_config.from_environment(environ) is None
    assert tf_config.is_chief(environ)


def test_the_environment_is_that_of_the_process(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", _environ({"worker": ["a:1"]}, _FIRST)["TF_CONFIG"])
    assert tf_config.from_environment() == Cluster(("a:1",), 0)
    monkeypatch.delenv("TF_CONFIG")
    assert tf_config.from_environment() is None


def test_workers():
    second = {"type": "worker", "index": 1}
    found = tf_config.from_environment(_environ({"worker": _TWO}, second))
    assert found == Cluster(("a:1", "b:2"), 1)
    assert found.num_workers == 2
    assert found.address == "b:2"
    assert found.name == "worker 1 of 2"
    assert not found.is_chief
    assert not tf_config.is_chief(_environ({"worker": _TWO}, second))


def test_the_chief_comes_first():
    jobs = {"worker": _TWO, "chief": ["c:3"]}
    found = tf_config.from_environment(_environ(jobs, {"type": "chief", "index": 0}))
    assert found == Cluster(("c:3", "a:1", "b:2"), 0)
    assert found.is_chief
    assert found.name == "worker 0 of 3 (the chief)"
    first_worker = tf_config.from_environment(_environ(jobs, _FIRST))
    assert first_worker.index == 1
    assert first_worker.address == "a:1"
    assert not first_worker.is_chief


@pytest.mark.parametrize("address", ["10.0.0.1:80", "[::1]:2222", "node-1.local:65535"])
def test_addresses(address):
    found = tf_config.from_environment(_environ({"worker": [address]}, _FIRST))
    assert found.address == address


def test_what_a_platform_adds_is_no_problem():
    content = {"cluster": {"worker": ["a:1"]}, "task": {**_FIRST, "trial": ""}}
    environ = {"TF_CONFIG": json.dumps({**content, "environment": "cloud", "job": {}})}
    assert tf_config.from_environment(environ).num_workers == 1


@pytest.fixture(scope="module")
def multi_worker_util():
    from tensorflow.python.distribute import multi_worker_util

    return multi_worker_util


_ports = st.lists(st.integers(1, 65535), unique=True, max_size=5)


@given(_ports, st.booleans(), st.data())
def test_ranks_are_those_of_tensorflow(multi_worker_util, ports, with_chief, data):
    addresses = [f"host:{port}" for port in ports]
    jobs = {"worker": addresses} if addresses else {}
    if with_chief or not addresses:
        jobs["chief"] = ["chief:1"]
    job = data.draw(st.sampled_from(sorted(jobs)))
    index = data.draw(st.integers(0, len(jobs[job]) - 1))
    found = tf_config.from_environment(_environ(jobs, {"type": job, "index": index}))
    assert found.address == jobs[job][index]
    assert found.index == multi_worker_util.id_in_cluster(jobs, job, index)
    assert found.is_chief == multi_worker_util.is_chief(jobs, job, index)
    assert found.num_workers == multi_worker_util.worker_count(jobs, job)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"TF_CONFIG: expected JSON, such as .*Received: '\{' \(Expecting"),
        ("[" * 100_000, r"expected JSON"),
        ("1" * 5000, r"expected JSON"),
        ("[1]", r"TF_CONFIG: expected a JSON object.*Received: \[1\]"),
        ('"worker"', r"expected a JSON object.*Received: 'worker'"),
    ],
)
def test_what_is_no_object_is_refused(text, message):
    with pytest.raises(RefusedError, match=message) as refused:
        tf_config.from_environment({"TF_CONFIG": text})
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("jobs", "task", "message"),
    [
        (None, _FIRST, r"TF_CONFIG: cluster: expected an object.*Received: nothing"),
        ({}, _FIRST, r"cluster: expected an object.*Received: \{\}"),
        (_TWO, _FIRST, r'cluster: expected an object.*Received: \["a:1", "b:2"\]'),
        ({"worker": _TWO, "ps": ["p:1"]}, _FIRST, r"'ps'.*Parameter servers are not"),
        ({"worker": _TWO, "evaluator": ["e:1"]}, _FIRST, r"'evaluator'.*The chief eva"),
        ({"worker": _TWO, "master": ["m:1"]}, _FIRST, r"'master'. Name it chief"),
        ({"worker": _TWO, "wroker": ["m:1"]}, _FIRST, r"chief and worker.*'wroker'\."),
        ({"worker": []}, _FIRST, r"cluster\.worker: expected a list of.*Received: \[]"),
        ({"worker": "a:1"}, _FIRST, r"cluster\.worker: expected a list.*'a:1'"),
        ({"worker": {"0": "a:1"}}, _FIRST, r"cluster\.worker: expected a list"),
        ({"worker": ["a"]}, _FIRST, r"worker\[0\]: expected host:port.*Received: 'a'"),
        ({"worker": ["a:1", 7]}, _FIRST, r"worker\[1\]: expected host:port.*: 7\."),
        ({"worker": ["grpc://a:1"]}, _FIRST, r"expected host:port.*'grpc://a:1'"),
        ({"worker": ["::1:2222"]}, _FIRST, r"expected host:port.*'::1:2222'"),
        ({"worker": ["a:1\n"]}, _FIRST, r"expected host:port.*'a:1\\n'"),
        ({"worker": ["a:0"]}, _FIRST, r"expected a port from 1 to 65535.*'a:0'"),
        ({"worker": ["a:65536"]}, _FIRST, r"expected a port from 1 to 65535.*:65536'"),
        ({"worker": ["a:1", "A:1"]}, _FIRST, r"address of its own.*'a:1' 2 times"),
        ({"worker": ["a:1"], "chief": ["a:1"]}, _FIRST, r"address of its own"),
        ({"chief": _TWO}, {"type": "chief", "index": 0}, r"chief: expected one.*: 2\."),
        ({"worker": _TWO}, None, r"task: expected an object.*Received: nothing"),
        ({"worker": _TWO}, "worker", r"task: expected an object.*Received: 'worker'"),
        ({"worker": _TWO}, {"index": 0}, r"task\.type: .*\(worker\).*: nothing"),
        ({"worker": _TWO}, {"type": "chief", "index": 0}, r"task\.type: .*: 'chief'"),
        ({"worker": _TWO}, {"type": ["worker"], "index": 0}, r"task\.type: expected"),
        ({"worker": _TWO}, {"type": "worker"}, r"task\.index: .*Received: nothing"),
        ({"worker": _TWO}, {"type": "worker", "index": "0"}, r"index: .*integer.*'0'"),
        ({"worker": _TWO}, {"type": "worker", "index": True}, r"index: .*: true"),
        ({"worker": _TWO}, {"type": "worker", "index": 1.0}, r"index: .*: 1\.0"),
        ({"worker": _TWO}, {"type": "worker", "index": -1}, r"index: .*: -1"),
        ({"worker": _TWO}, {"type": "worker", "index": 2}, r"less than 2, .*: 2\."),
    ],
)
def test_a_wrong_cluster_is_refused_in_one_line(jobs, task, message):
    given_parts = {"cluster": jobs, "task": task}
    content = {name: part for name, part in given_parts.items() if part is not None}
    with pytest.raises(RefusedError, match=message) as refused:
        tf_config.from_environment({"TF_CONFIG": json.dumps(content)})
    assert len(refused.value.problems) == 1
    assert "\n" not in str(refused.value)


def test_all_problems_are_named_at_once():
    jobs = {"worker": ["a", "b:0", "c:3", "c:3"], "ps": ["d:4"]}
    with pytest.raises(RefusedError, match=r"TF_CONFIG: 6 problems") as refused:
        tf_config.from_environment(_environ(jobs, {"type": "ps", "index": 9.5}))
    for message in (
        "worker[0]: expected host:port",
        "worker[1]: expected a port",
        "'c:3' 2 times",
        "'ps'. Parameter servers",
        "task.type: expected a job of the cluster (worker). Received: 'ps'",
        "task.index: expected an integer from 0 up. Received: 9.5",
    ):
        assert re.search(re.escape(message), str(refused.value)), message
    assert len(str(refused.value).splitlines()) == 7


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_address = st.sampled_from(["a:1", "b:2", "c", "d:0", "[::1]:5"]) | _json
_addresses = st.lists(_address, max_size=3) | _json
_tasks = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["worker", "chief"]) | _json, "index": _json}
)


@given(
    st.fixed_dictionaries({}, optional={"worker": _addresses, "chief": _addresses})
    | _json,
    _tasks | _json,
)
def test_any_json_is_a_cluster_or_refused(jobs, task):
    try:
        found = tf_config.from_environment(_environ(jobs, task))
    except RefusedError as error:
        for problem in error.problems:
            assert len(problem.splitlines()) == 1
            assert "Received: " in problem
    else:
        assert 0 <= found.index < found.num_workers


@given(st.text().filter(str.strip))
def test_any_text_is_refused_in_one_line(text):
    with pytest.raises(RefusedError, match=r"^TF_CONFIG: expected") as refused:
        tf_config.from_environment({"TF_CONFIG": text})
    assert len(str(refused.value).splitlines()) == 1


@pytest.fixture
def port():
    with socket.socket() as server:
        server.bind(("", 0))
        return server.getsockname()[1]


def test_a_cluster_that_can_be_reached(port):
    tf_config.refuse_unreachable(Cluster((f"127.0.0.1:{port}", "localhost:1"), 0))


def test_one_worker_opens_no_port():
    tf_config.refuse_unreachable(Cluster(("nowhere.invalid:1",), 0))


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        mine = Cluster(("localhost:1", f"localhost:{port}"), 1)
        message = (
            rf"TF_CONFIG: port {port}: .*for worker 1 of 2 at localhost:{port}.*in"
        )
        with pytest.raises(RefusedError, match=message):
            tf_config.refuse_unreachable(mine)


def test_hosts_without_an_address_are_named(port):
    long = "x" * 300
    hosts = (f"127.0.0.1:{port}", "gone.invalid:1", f"{long}:2", "gone.invalid:3")
    with pytest.raises(RefusedError) as refused:
        tf_config.refuse_unreachable(Cluster(hosts, 0), patience_seconds=0)
    assert len(refused.value.problems) == 2
    first, second = refused.value.problems
    assert re.match(r"cluster: .*Received: gone\.invalid:1 \(.+\)\. Mend", first)
    assert long in second


def test_a_host_may_come_late(port, monkeypatch):
    asked = []

    def getaddrinfo(host, *arguments, **options):
        asked.append(host)
        if host == "late" and asked.count("late") == 1:
            raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(tf_config, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(tf_config.socket, "getaddrinfo", getaddrinfo)
    tf_config.refuse_unreachable(Cluster((f"here:{port}", "late:1"), 0))
    assert asked == ["here", "late", "late"]


def test_a_worker_waits_until_the_chief_listens(port):
    cluster = Cluster((f"127.0.0.1:{port}", "localhost:1"), 1)
    tf_config.wait_for_chief(cluster, patience_seconds=0.05)  # In vain.
    waiting = threading.Thread(target=tf_config.wait_for_chief, args=(cluster,))
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    with socket.create_server(("127.0.0.1", port)):
        waiting.join(10)
    assert not waiting.is_alive()
