"""Whatever comes, the server answers with its own errors, and goes on."""

import http.client
import json
import socket

import hypothesis
import pytest
from hypothesis import strategies as st

pytest_plugins = ["helpers.rest_fixtures"]

# As many as the profile asks for, if that is more.
_EXAMPLES = max(250, hypothesis.settings.default.max_examples)
_SIGNATURES = (
    "serving_default", "float32", "float16", "int8", "uint64", "bool", "string",
    "mean", "product", "complex", "unequal", "", "none",
)  # fmt: skip

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.builds(lambda text: {"b64": text}, st.sampled_from(["YQ==", "YQ", "*", ""]))
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "c", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)
_documents = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context"]), _values
)


@pytest.fixture(scope="module")
def client(rest_server):
    connection = http.client.HTTPConnection(
        rest_server.host, rest_server.port, timeout=30
    )
    yield connection
    connection.close()


def _ask(client, method, path, body):
    try:
        client.request(method, path, body)
        response = client.getresponse()
        text = response.read()
    except (http.client.HTTPException, OSError):
        client.close()  # The next request connects again.
        raise
    return response.status, text


def _check(status, text):
    assert status in (200, 400, 404, 413, 501), (status, text)
    document = json.loads(text)
    assert (status == 200) == ("error" not in document)


_settings = hypothesis.settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@_settings
@hypothesis.given(
    document=_documents,
    signature=st.sampled_from(_SIGNATURES),
    method=st.sampled_from(["predict", "predict", "classify", "regress"]),
    model=st.sampled_from(["types", "types", "half_plus_two", "batching"]),
)
def test_any_document(client, document, signature, method, model):
    if signature:
        document = {**document, "signature_name": signature}
    body = json.dumps(document)
    _check(*_ask(client, "POST", f"/v1/models/{model}:{method}", body))


@_settings
@hypothesis.given(body=st.binary(max_size=60), start=st.integers(0, 40))
def test_any_bytes(client, body, start):
    good = b'{"instances": [1.0, 2.0], "signature_name": "serving_default"}'
    body = good[:start] + body + good[start:]
    _check(*_ask(client, "POST", "/v1/models/half_plus_two:predict", body))


_parts = st.sampled_from(
    ["v1", "models", "types", "half_plus_two", "versions", "1", "122", "labels",
     "stable", "metadata", "monitoring", "%00", "%ff", "..", "", "99999999999999999999",
     ":predict", "types:predict", "1:classify", "\u00e9"]
)  # fmt: skip


@_settings
@hypothesis.given(
    parts=st.lists(_parts, max_size=7),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "PATCH"]),
)
def test_any_path(client, parts, method):
    path = "/" + "/".join(parts).encode("latin-1").decode("latin-1")
    path = path.replace("\u00e9", "%C3%A9")
    status, text = _ask(client, method, path, '{"inputs": [1]}')
    if method == "HEAD":
        assert status == 400
    else:
        _check(status, text)


def test_what_is_no_http(rest_server):
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"GET\r\n\r\n",
        b"POST /v1/models/types:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
        b"\x00" * 100_000,
    ):
        with socket.create_connection((rest_server.host, rest_server.port)) as raw:
            raw.settimeout(30)
            try:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
            except ConnectionError:
                pass
    assert rest_server.predict("half_plus_two", {"instances": [2]})[0] == 200


def test_neither_threads_nor_memory_grow(rest_server, client):
    def some(count):
        for i in range(count):
            body = json.dumps({"instances": [[float(i)] * 8] * (1 + i % 9)})
            _ask(client, "POST", "/v1/models/half_plus_two:predict", body)
            _ask(client, "POST", f"/v1/models/m{i}:predict", '{"instances": [1]}')
            _ask(client, "GET", f"/{i}", None)
            _ask(client, "POST", "/v1/models/half_plus_two:predict", f'{{"x{i}": [')

    some(300)
    threads, memory = rest_server.threads_and_memory()
    some(700)
    threads_after, memory_after = rest_server.threads_and_memory()
    assert threads_after <= threads + 2
    assert memory_after - memory < 10 * 2**20
