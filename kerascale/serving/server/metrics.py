"""What Prometheus reads of the server."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one server.

    Labels hold names that the server knows, never what a client has made up.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prefix = "kerascale_serving"
        labels = ("model", "method")
        self.requests = Counter(
            f"{prefix}_requests",
            "Requests that were answered.",
            (*labels, "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            f"{prefix}_request_seconds",
            "Seconds from the request's headers to its answer.",
            labels,
            registry=self._registry,
            buckets=_SECONDS,
        )
        self.batch_rows = Histogram(
            f"{prefix}_batch_rows",
            "Rows of what was run at once.",
            registry=self._registry,
            buckets=_ROWS,
        )
        self.queued = Gauge(
            f"{prefix}_queued_requests",
            "Requests that wait for a thread.",
            registry=self._registry,
        )
        self._loaded = Gauge(
            f"{prefix}_loaded_versions",
            "1 for each version that answers.",
            ("model", "version"),
            registry=self._registry,
        )

    def text(self, loaded: list[tuple[str, int]]) -> bytes:
        """All of them, in Prometheus' text format.

        Args:
            loaded: The versions that answer: model and number.
        """
        self._loaded.clear()
        for model, number in loaded:
            self._loaded.labels(model, str(number)).set(1)
        return generate_latest(self._registry)


CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
