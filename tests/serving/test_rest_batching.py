"""Requests that are joined are answered as they are alone."""

import math
import random

import pytest
from helpers import rest_models, rest_process

pytest_plugins = ["helpers.rest_fixtures"]


@pytest.fixture(scope="module")
def joined(tmp_path_factory, serving):
    """A server that waits for others, so that joining is sure to happen."""
    base = tmp_path_factory.mktemp("joined") / "model"
    base.mkdir()
    rest_models.batching(base / "1")
    (base / "batching_parameters.txt").write_text(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 300000 } "
        "num_batch_threads { value: 2 } allowed_batch_sizes: 4 "
        "allowed_batch_sizes: 16"
    )
    with serving(base, log=base.parent / "log") as server:
        yield server


@pytest.fixture(scope="module")
def alone(tmp_path_factory, serving):
    base = tmp_path_factory.mktemp("alone") / "model"
    base.mkdir()
    rest_models.batching(base / "1")
    with serving(base, "--no-batching", log=base.parent / "log") as server:
        yield server


def _rows(generator, count, length):
    return [
        [[generator.uniform(-1, 1) for _ in range(16)] for _ in range(length)]
        for _ in range(count)
    ]


def _ask(server, rows, signature="serving_default"):
    return lambda: server.predict(
        "model", {"instances": rows, "signature_name": signature}
    )


def _batches(server):
    """(number of runs, rows of all of them)."""
    _, text, _ = server.request("GET", "/monitoring/prometheus/metrics")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
    name = "kerascale_serving_batch_rows"
    return float(lines[f"{name}_count"]), float(lines[f"{name}_sum"])


def _close(a, b):
    return all(math.isclose(x, y, abs_tol=1e-6) for x, y in zip(a, b, strict=True))


def test_requests_are_joined_by_shape_and_answered_alike(joined, alone):
    generator = random.Random(0)
    requests = [
        _rows(generator, count, length)
        for length in (2, 5)
        for count in (1, 1, 2, 3, 1, 1, 1)
    ]
    before = _batches(joined)
    together = rest_process.together([_ask(joined, rows) for rows in requests])
    runs, rows_run = (b - a for a, b in zip(before, _batches(joined), strict=True))
    for rows, (status, answer) in zip(requests, together, strict=True):
        assert status == 200
        expected = _ask(alone, rows)()[1]["predictions"]
        assert len(answer["predictions"]) == len(rows)
        for a, b in zip(answer["predictions"], expected, strict=True):
            assert _close(a, b)
    assert rows_run == 20
    # One for each length, or a few where the machine is busy.
    assert 2 <= runs < len(requests) / 2


def test_one_bad_request_fails_alone(joined):
    generator = random.Random(1)
    requests = [_rows(generator, 1, 3) for _ in range(6)]
    requests[2][0][1][5] = math.nan  # The model fails over the whole batch.
    requests[4] = [[["a"] * 16] * 3]  # Refused before it is joined.
    requests[5] = [[[1.0] * 15] * 3]  # Of another shape.
    answers = rest_process.together([_ask(joined, rows) for rows in requests])
    assert [status for status, _ in answers] == [200, 200, 400, 200, 400, 400]
    assert "bad row" in answers[2][1]["error"]


def test_rows_that_depend_on_each_other_are_not_joined(joined):
    assert "'coupled': requests are not batched" in joined.said()
    requests = [[[float(i), 1.0], [0.0, 0.0]] for i in range(8)]
    answers = rest_process.together([_ask(joined, r, "coupled") for r in requests])
    for i, (status, answer) in enumerate(answers):
        assert status == 200
        assert answer["predictions"] == [[i / 2, 0.5], [-i / 2, -0.5]]


def test_a_request_larger_than_a_batch_is_run_alone(joined):
    rows = _rows(random.Random(2), 20, 2)
    before = _batches(joined)
    status, answer = _ask(joined, rows)()
    assert status == 200
    assert len(answer["predictions"]) == 20
    assert _batches(joined) == (before[0] + 1, before[1] + 20)


def test_under_load_answers_are_not_mixed_up(rest_server):
    """Each client knows what it must get, with the default settings."""

    def ask(client):
        for i in range(40):
            value = float(client * 1000 + i)
            status, answer = rest_server.predict(
                "half_plus_two", {"instances": [value] * (1 + i % 3)}
            )
            expected = [value / 2 + 2] * (1 + i % 3)
            assert (status, answer) == (200, {"predictions": expected})
        return "all right"

    clients = [lambda c=c: ask(c) for c in range(8)]
    assert rest_process.together(clients) == ["all right"] * 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size: expected 1 or more"),
        ("max_batch_size: 5", "expected the text of a BatchingParameters"),
        ("pad_variable_length_inputs: true",
         "pad_variable_length_inputs: expected false"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4",
         "allowed_batch_sizes: expected the last to be max_batch_size, 8"),
    ],
)  # fmt: skip
def test_batching_parameters_that_are_refused(tmp_path, text, message):
    from kerascale.errors import RefusedError
    from kerascale.serving.server.settings import read_batching

    (tmp_path / "batching_parameters.txt").write_text(text)
    with pytest.raises(RefusedError, match=message):
        read_batching(tmp_path)


def test_flags_go_before_the_file(tmp_path):
    from kerascale.serving.server.settings import read_batching

    (tmp_path / "batching_parameters.txt").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 2500 } "
        "num_batch_threads { value: 3 }"
    )
    found = read_batching(tmp_path, timeout_ms=1.0)
    assert (found.max_batch_size, found.timeout_seconds, found.threads) == (8, 1e-3, 3)
