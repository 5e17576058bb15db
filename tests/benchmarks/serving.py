"""What a server makes of single requests: batching on, off, and Keras by hand.

The `cnn` recipe is trained for one epoch and exported. Three servers answer 16 clients
that ask for one image at a time, in turns: a server is stopped by SIGSTOP whenever it
is not its turn. Clients and server share the machine.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .contenders import TESTS, FailedError
from .rounds import Plan
from .statistics import Spread, ratios, shuffled_rounds

CLIENTS = 16
# Requests per second with batching over those without it.
LEAST_GAIN = 2.0
_TOLERANCE = 1e-4
_MODEL = "cnn"
_SERVE = ("-m", "kerascale", "serve", "{served}", "--port", "0", "--json")
# Name -> arguments of Python; each prints a JSON object with its address.
CONTENDERS = {
    "batching": _SERVE,
    "no-batching": (*_SERVE, "--no-batching"),
    "predict_on_batch": ("-m", "tests.benchmarks.runners.predict_server", "{run}"),
}


@dataclasses.dataclass(frozen=True)
class _Server:
    process: subprocess.Popen
    port: int

    def send(self, number: int) -> None:
        self.process.send_signal(number)


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs all servers in turns.

    Raises:
        FailedError: One of them cannot, or answers otherwise than the others.
    """
    with (
        tempfile.TemporaryDirectory(prefix="kerascale-serving-") as folder,
        contextlib.ExitStack() as stack,
    ):
        places = _export(pathlib.Path(folder), say)
        servers = {}
        for name, arguments in CONTENDERS.items():
            say(f"serving {name}: warming up")
            server = stack.enter_context(_started(name, arguments, places))
            servers[name] = server
            _load(server.port, min(plan.seconds, 2.0))
        _compare(servers)
        for server in servers.values():
            server.send(signal.SIGSTOP)
        answers: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        order = shuffled_rounds(list(servers), plan.rounds, plan.seed)
        for number, names in enumerate(order, 1):
            say(f"serving: round {number} of {plan.rounds}")
            for name in names:
                servers[name].send(signal.SIGCONT)
                latencies, seconds = _load(servers[name].port, plan.seconds)
                servers[name].send(signal.SIGSTOP)
                answers[name].append(figures(latencies, seconds))
    return summary(answers)


def figures(latencies: Sequence[float], seconds: float) -> dict[str, float]:
    """Requests per second and percentiles of one round."""
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "requests_per_second": len(latencies) / seconds,
        "p50_seconds": cuts[49],
        "p99_seconds": cuts[98],
    }


def summary(answers: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Figures of all rounds, and rates over the best one's, round by round."""
    rates = {
        name: [each["requests_per_second"] for each in own]
        for name, own in answers.items()
    }
    relative = ratios(rates)
    found: dict[str, Any] = {}
    for name, own in answers.items():
        found[name] = {
            key: dataclasses.asdict(Spread.of([each[key] for each in own]))
            for key in own[0]
        }
        found[name]["over_best"] = dataclasses.asdict(relative[name])
    pairs = zip(rates["batching"], rates["no-batching"], strict=True)
    gain = Spread.of([a / b for a, b in pairs])
    return {"contenders": found, "batching_gain": dataclasses.asdict(gain)}


def table(found: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| server | requests/s | p50 (ms) | p99 (ms) | over the best |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name, own in found["contenders"].items():
        lines.append(
            f"| {name} | {own['requests_per_second']['median']:.0f} | "
            f"{own['p50_seconds']['median'] * 1e3:.2f} | "
            f"{own['p99_seconds']['median'] * 1e3:.2f} | "
            f"{own['over_best']['median']:.2f} |"
        )
    gain = found["batching_gain"]
    verdict = "kept" if gain["median"] >= LEAST_GAIN else "MISSED"
    lines += [
        "",
        f"Batching over none: {gain['median']:.2f} ({gain['lower']:.2f} to "
        f"{gain['upper']:.2f}); {LEAST_GAIN:g} is the least: {verdict}.",
    ]
    return "\n".join(lines)


def _export(folder: pathlib.Path, say: Callable[[str], None]) -> dict[str, str]:
    places = {"run": str(folder / "run"), "served": str(folder / _MODEL)}
    for arguments in (
        ("train", _MODEL, "--epochs", "1", "--run-dir", places["run"]),
        ("export", places["run"], places["served"]),
    ):
        say(f"serving: kerascale {' '.join(arguments)}")
        finished = subprocess.run(
            [sys.executable, "-m", "kerascale", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise FailedError(finished.stderr)
    return places


@contextlib.contextmanager
def _started(
    name: str, arguments: Sequence[str], places: Mapping[str, str]
) -> Iterator[_Server]:
    path = os.pathsep.join(filter(None, (str(TESTS.parent), os.getenv("PYTHONPATH"))))
    process = subprocess.Popen(
        [sys.executable, *(word.format(**places) for word in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path},
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise FailedError(f"{name}: ended with {process.wait()}")
        port = int(json.loads(line)["address"].rpartition(":")[2])
        yield _Server(process, port)
    finally:
        process.kill()  # Also one that is stopped.
        process.wait()
        process.stdout.close()


def _image(number: int) -> bytes:
    pixels = [[[float((number + i * j) % 17)] for j in range(8)] for i in range(8)]
    return json.dumps({"instances": [pixels]}).encode()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> bytes:
    connection.request("POST", f"/v1/models/{_MODEL}:predict", body)
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise FailedError(f"{response.status}: {answer[:500]!r}")
    return answer


def _load(port: int, seconds: float) -> tuple[list[float], float]:
    """Seconds of each request that the clients began within a time; and of all."""
    start = time.perf_counter()
    end = start + seconds
    latencies: list[float] = []
    failures: list[Exception] = []

    def ask(client: int) -> None:
        own = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = _image(client)
        try:
            with contextlib.closing(connection):
                while (begin := time.perf_counter()) < end:
                    _ask(connection, body)
                    own.append(time.perf_counter() - begin)
        except Exception as error:
            failures.append(error)
        latencies.extend(own)

    clients = [threading.Thread(target=ask, args=(i,)) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if failures or len(latencies) < 2:
        raise FailedError(f"a client failed: {(failures or ['no answer'])[0]}")
    return latencies, time.perf_counter() - start


def _compare(servers: Mapping[str, _Server]) -> None:
    answers = {}
    for name, server in servers.items():
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(connection):
            answers[name] = json.loads(_ask(connection, _image(3)))["predictions"][0]
    first = answers["batching"]
    for name, answer in answers.items():
        pairs = zip(answer, first, strict=True)
        if not all(abs(a - b) <= _TOLERANCE for a, b in pairs):
            raise FailedError(f"{name} answers otherwise: {answer}, not {first}")
