"""The process: what it refuses, what it limits, and how it ends."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import threading
import time

import pytest
from helpers import rest_models, rest_process

pytest_plugins = ["helpers.rest_fixtures"]


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    base = tmp_path_factory.mktemp("half") / "half"
    base.mkdir()
    rest_models.half_plus_two(base / "1")
    return base


@pytest.fixture(scope="module")
def limited(tmp_path_factory, serving):
    """A server whose limits are soon reached."""
    base = tmp_path_factory.mktemp("limited") / "slow"
    base.mkdir()
    rest_models.slow(base / "1")
    flags = (
        "--max-request-mb", 0.1, "--request-seconds", 4, "--batch-threads", 1,
        "--max-queued-requests", 3, "--no-batching", "--model-name", "other",
    )  # fmt: skip
    with serving(base, *flags, log=base.parent / "log") as server:
        yield server


@pytest.fixture
def refused(forks):
    """What `kerascale serve` says that must refuse what it is told."""

    def run(*arguments):
        command = ["-m", "kerascale", "serve", *map(str, arguments)]
        code, _, said = forks.run(
            command, cwd=os.getcwd(), env=dict(os.environ), timeout=120
        )
        assert code == 2, said
        return said

    return run


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["nowhere"], ["DEST: expected a folder that can be read", "nowhere"]),
        (["."], ["DEST: expected a folder with versions"]),
        (["HALF", "--port", "x", "--pol", "1"], ["port", "x", "--pol"]),
        (["HALF", "--port", "70000", "--poll-seconds", "0"],
         ["port: expected a finite number", "70000", "poll_seconds: expected"]),
        (["HALF", "--host", "203.0.113.1"],
         ["expected an address of this machine. Received: 203.0.113.1"]),
        ([], ["expected DEST"]),
    ],
)  # fmt: skip
def test_bad_input_is_refused(
    half, tmp_path, monkeypatch, refused, arguments, messages
):
    monkeypatch.chdir(tmp_path)
    said = refused(*(half if word == "HALF" else word for word in arguments))
    for message in messages:
        assert message in said


def test_a_port_in_use_is_refused_and_named(half, refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(half, "--port", port)
    assert f"expected a free port. Received: {port}" in said


def test_files_beside_the_model_are_read_before_the_start(half, tmp_path, refused):
    for name, text, message in (
        ("models.config", 'model_config_list { config { name: "other" } }', "'half'"),
        ("models.config", "model_config {", "expected the text of a ModelServerConfig"),
        ("monitoring.config", "prometheus_config { enable: 3 }", "MonitoringConfig"),
        ("batching_parameters.txt", "max_batch_size: 3", "BatchingParameters"),
    ):
        base = tmp_path / "half"
        base.mkdir(exist_ok=True)
        (base / "1").mkdir(exist_ok=True)
        (base / name).write_text(text)
        assert message in refused(base, "--model-name", "half")
        (base / name).unlink()


def test_the_extra_is_named_where_it_is_missing(half, run_python):
    code = (
        "import sys\n"
        "sys.modules['uvicorn'] = sys.modules['orjson'] = None\n"
        "from kerascale.cli import main\n"
        "sys.exit(main(['serve', sys.argv[1]]))\n"
    )
    finished = run_python(code, half, check=False)
    assert finished.returncode == 2
    assert "pip install 'kerascale[serve]'" in finished.stderr


def test_bad_saved_models_are_refused(tmp_path, serving, refused):
    """One after the other in one folder: none is loaded, each is told of."""
    base = tmp_path / "model"
    base.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    rest_models.reads_a_file(base / "1", secret)
    (base / "2").mkdir()
    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"\x00" * 100)
    rest_models.half_plus_two(base / "4")
    for path in (base / "4" / "variables").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:-3])
    said = refused(base)
    for message in ("ReadFile", "has no saved_model.pb", "version 3", "version 4"):
        assert message in said
    # A good one is served beside them.
    rest_models.half_plus_two(base / "5")
    with serving(base, log=tmp_path / "log") as server:
        assert server.predict("model", {"instances": [2]}) == (
            200,
            {"predictions": [3.0]},
        )


def test_tensorflow_is_alone_in_the_process(half, run_python):
    code = (
        "import sys, threading, os, signal\n"
        "from kerascale.cli import main\n"
        "from kerascale.cli import serve\n"
        "serve.finish = lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM)\n"
        "code = main(['serve', sys.argv[1], '--port', '0'])\n"
        "loaded = [n for n, m in sys.modules.items() if n.split('.')[0] == 'keras']\n"
        "assert sys.modules['keras'] is None and loaded == ['keras'], loaded\n"
        "assert 'tensorflow' in sys.modules\n"
        "sys.exit(code)\n"
    )
    assert run_python(code, half).returncode == 0


def test_metrics_are_where_monitoring_config_has_them(tmp_path, serving):
    base = tmp_path / "models" / "half"
    base.mkdir(parents=True)
    rest_models.half_plus_two(base / "1")
    monitoring = base.parent / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    with serving(base.parent, log=tmp_path / "log") as server:
        assert server.request("GET", "/metrics")[0] == 200
        path = "/monitoring/prometheus/metrics"
        assert server.json("GET", path) == (
            400,
            {"error": f"Malformed request: GET {path}"},
        )


def test_a_body_that_is_too_large(limited):
    body = b'{"instances": [' + b"1," * 100_000 + b"1]}"
    packed = gzip.compress(b" " * 10_000_000)
    for data, headers in ((body, {}), (packed, {"content-encoding": "gzip"})):
        status, text, headers = limited.request(
            "POST", "/v1/models/other:predict", data, headers
        )
        assert status == 413
        assert json.loads(text)["error"] == (
            "The request's body has more than 104858 bytes"
        )
        assert headers["connection"] == "close"
    # Without a length that would tell it before, and with more after it than the
    # connection holds.
    connection = http.client.HTTPConnection(limited.host, limited.port, timeout=30)
    with contextlib.closing(connection):
        connection.request(
            "POST",
            "/v1/models/other:predict",
            iter([body] * 100),
            encode_chunked=True,
            headers={"transfer-encoding": "chunked"},
        )
        assert connection.getresponse().status == 413
    assert limited.request("POST", "/v1/models/other:predict", body * 100)[0] == 413


def test_a_request_that_takes_too_long_and_too_many_that_wait(limited):
    long = {"instances": [6e3]}
    asked = [lambda: limited.predict("other", long)] * 6
    answers = rest_process.together(asked)
    statuses = sorted(status for status, _ in answers)
    # One runs, three wait for it, and there is no place for the others.
    assert statuses == [503, 503, 504, 504, 504, 504]
    errors = {answer["error"] for _, answer in answers}
    assert "The request took more than 4 seconds" in errors
    # What was given up is not run: the server is soon free again.
    rest_process.until(lambda: limited.predict("other", {"instances": [1]})[0] == 200)


def test_slow_clients_hold_up_nobody(limited):
    def connect(data):
        connection = socket.create_connection((limited.host, limited.port))
        connection.sendall(data)
        return connection

    head = b"POST /v1/models/other:predict HTTP/1.1\r\nHost: x\r\n"
    silent = [connect(b"") for _ in range(50)] + [connect(head) for _ in range(50)]
    started = [
        connect(head + b'Content-Length: 100\r\n\r\n{"instances"') for _ in range(20)
    ]
    try:
        status, _ = limited.predict("other", {"instances": [1]})
        assert status == 200
        for connection in started:
            connection.settimeout(30)
            answer = b""
            while part := connection.recv(10_000):  # To the end: it is closed.
                answer += part
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"body took more than 4 seconds to come" in answer
        # Those that send no headers are closed without an answer.
        for connection in silent:
            connection.settimeout(30)
            assert connection.recv(10_000) == b""
    finally:
        for connection in silent + started:
            connection.close()


def test_signals_end_it_when_its_requests_have_ended(half, tmp_path, serving):
    base = tmp_path / "slow"
    base.mkdir()
    rest_models.slow(base / "1")
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        flags = ("--request-seconds", 300)
        with serving(base, *flags, log=tmp_path / "log") as server:
            # A connection that is kept alive does not hold it up.
            idle = http.client.HTTPConnection(server.host, server.port)
            idle.request("GET", "/v1/models/slow")
            assert idle.getresponse().read()
            answers = []
            asked = threading.Thread(
                target=lambda s=server, a=answers: a.append(
                    s.predict("slow", {"instances": [2.5e3]})
                )
            )
            asked.start()
            time.sleep(1.0)
            assert server.stop(number) == code, server.said()
            asked.join()
            assert answers == [(200, {"predictions": [2.5e3]})]
            idle.close()
            assert "Traceback" not in server.said()


def test_the_model_is_called_as_models_config_has_it(tmp_path, serving):
    base = tmp_path / "my-model"
    base.mkdir()
    rest_models.half_plus_two(base / "1")
    (base / "models.config").write_text(
        'model_config_list { config { name: "my_model" base_path: "/models/x" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    with serving(base, log=tmp_path / "log") as server:
        assert server.json("GET", "/v1/models/my_model")[0] == 200
        assert "/v1/models/my_model:predict" in server.said()
