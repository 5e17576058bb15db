"""How the server works: given by flags, else by the files beside the models."""

import dataclasses
import os
import pathlib

from kerascale.errors import RefusedError
from kerascale.serving.server.text_files import read_text

BATCHING_FILE = "batching_parameters.txt"
MONITORING_FILE = "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests are joined.

    Args:
        max_batch_size: Rows of a batch. A request with more is run alone.
        timeout_seconds: How long a batch waits for more rows. While all threads are
            busy it fills anyway.
        threads: Batches that run at the same time.
        sizes: Numbers of rows that batches are filled up to; empty: any.
    """

    enabled: bool = True
    max_batch_size: int = 64
    timeout_seconds: float = 0.0
    threads: int = dataclasses.field(
        default_factory=lambda: min(4, os.cpu_count() or 1)
    )
    sizes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may cost.

    Args:
        body_bytes: Size of a request's body; 413 beyond it.
        total_bytes: Size of all bodies that are being worked on; 503 beyond it.
        seconds: Time for a request, from its headers to its answer; 504 beyond it.
        queued: Requests that wait for a thread; 503 beyond them.
        header_seconds: Time for the headers of a request to come.
    """

    body_bytes: int = 64 * 2**20
    seconds: float = 30.0
    queued: int = 1000
    header_seconds: float = 10.0

    @property
    def total_bytes(self) -> int:
        return 4 * self.body_bytes


def read_batching(
    folder: pathlib.Path,
    *,
    enabled: bool = True,
    max_batch_size: int | None = None,
    timeout_ms: float | None = None,
    threads: int | None = None,
) -> Batching:
    """Batching as flags say it, else the folder's `batching_parameters.txt`.

    Raises:
        RefusedError: If the file cannot be read or asks for what is not done here.
    """
    path = folder / BATCHING_FILE
    message = read_text(path, "BatchingParameters")
    values: dict[str, object] = {"enabled": enabled}
    if message is not None:
        problems = _problems(message)
        if problems:
            raise RefusedError([f"{path}: {problem}" for problem in problems])
        if message.HasField("max_batch_size"):
            values["max_batch_size"] = message.max_batch_size.value
        if message.HasField("batch_timeout_micros"):
            values["timeout_seconds"] = message.batch_timeout_micros.value / 1e6
        if message.HasField("num_batch_threads"):
            values["threads"] = message.num_batch_threads.value
        values["sizes"] = tuple(message.allowed_batch_sizes)
    if max_batch_size is not None:
        # The sizes of the file end with the file's largest.
        values.update(max_batch_size=max_batch_size, sizes=())
    if timeout_ms is not None:
        values["timeout_seconds"] = timeout_ms / 1e3
    if threads is not None:
        values["threads"] = threads
    return Batching(**values)


def _problems(message: object) -> list[str]:
    problems = []
    for name, least in (
        ("max_batch_size", 1),
        ("batch_timeout_micros", 0),
        ("num_batch_threads", 1),
    ):
        value = getattr(message, name).value
        if message.HasField(name) and value < least:
            problems.append(f"{name}: expected {least} or more. Received: {value}.")
    sizes = list(message.allowed_batch_sizes)
    if sizes and (sizes != sorted(set(sizes)) or sizes[0] < 1):
        problems.append(
            f"allowed_batch_sizes: expected them to grow. Received: {sizes}."
        )
    elif sizes and sizes[-1] != message.max_batch_size.value:
        problems.append(
            "allowed_batch_sizes: expected the last to be max_batch_size, "
            f"{message.max_batch_size.value}. Received: {sizes[-1]}."
        )
    if message.pad_variable_length_inputs:
        problems.append(
            "pad_variable_length_inputs: expected false, as it changes what the model "
            "sees. Received: true. Leave it out."
        )
    return problems


def read_metrics_path(folder: pathlib.Path) -> str | None:
    """Where metrics are served, by the folder's `monitoring.config`; None: nowhere.

    Raises:
        RefusedError: If the file cannot be read.
    """
    message = read_text(folder / MONITORING_FILE, "MonitoringConfig")
    if message is None:
        return METRICS_PATH
    prometheus = message.prometheus_config
    if not prometheus.enable:
        return None
    path = prometheus.path or METRICS_PATH
    if not path.startswith("/"):
        raise RefusedError(
            f"{folder / MONITORING_FILE}: path: expected one that begins with /. "
            f"Received: {path!r}."
        )
    return path
