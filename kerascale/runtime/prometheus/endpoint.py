"""The address that Prometheus reads a training from."""

import errno
import importlib.util
import math
import socket
import socketserver
import threading
import time
import wsgiref.simple_server

from kerascale.errors import RefusedError
from kerascale.runtime.prometheus.training_state import TrainingState

# A reader that says nothing for so long is left alone.
_SILENT_SECONDS = 10.0
# How long `close` may take.
_POLL_SECONDS = 0.1
_PATH = "/metrics"
HIGHEST_PORT = 2**16 - 1


def problems(host: str, port: int) -> list[str]:
    """What would make `Endpoint` fail: a missing package, an address or a port.

    Args:
        host: The address to listen on.
        port: The port; 0: any that is free.

    Returns:
        One message per problem; empty if there is none.
    """
    found = []
    if importlib.util.find_spec("prometheus_client") is None:
        found.append(
            "metrics_port: expected the package that speaks to Prometheus. Received: "
            "no prometheus_client. Run: pip install 'kerascale[metrics]'"
        )
    if not 0 <= port <= HIGHEST_PORT:
        found.append(
            f"metrics_port: expected a port from 0 (any that is free) to {HIGHEST_PORT}"
            f". Received: {port}"
        )
        return found
    try:
        with _listening(host, port):
            pass
    except RefusedError as error:
        found += error.problems
    return found


class Endpoint:
    """Answers `http://HOST:PORT/metrics` from a thread of its own.

    The thread takes no part in the training and does not keep the process alive.

    Args:
        state: What the training writes to.
        host: The address to listen on.
        port: The port; 0: any that is free.

    Raises:
        RefusedError: If a package, the address or the port cannot be had.
    """

    def __init__(self, state: TrainingState, host: str, port: int) -> None:
        refused = problems(host, port)
        if refused:
            raise RefusedError(refused, heading="metrics")
        from prometheus_client import make_wsgi_app

        from kerascale.runtime.prometheus.collector import make_registry

        self._server = _Server(_listening(host, port))
        self._server.set_app(make_wsgi_app(make_registry(state)))
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _POLL_SECONDS},
            name="metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """What to type into a browser."""
        host, port = self._server.server_address[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{_PATH}"

    def wait_for_reader(self, most_seconds: float) -> None:
        """Returns when somebody has read what is known now, or will not come.

        Who reads regularly is waited for as long as it takes them to come again; if
        nobody has read twice, or not for a while, nobody is waited for.

        Args:
            most_seconds: How long at most.
        """
        readings = self._server.readings
        if len(readings) < 2:
            return
        now = time.monotonic()
        # One that is late by half of its interval does not come any more.
        expected = readings[-1] + 1.5 * (readings[-1] - readings[-2])
        # One that is being answered now was begun before.
        self._server.wanted_from = now
        self._server.was_read.wait(min(max(expected - now, 0.0), most_seconds))

    def close(self) -> None:
        """Frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """A thread for each reader, so that a slow one is in nobody's way."""

    daemon_threads = True

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()
        # Not the host's full name, which it may take the DNS long to tell.
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()
        # When the last two readings began, by the monotonic clock.
        self.readings: list[float] = []
        # Set when one is over that began after this time.
        self.wanted_from = math.inf
        self.was_read = threading.Event()


class _Handler(wsgiref.simple_server.WSGIRequestHandler):
    timeout = _SILENT_SECONDS

    # No reading: a connection without a request.
    _began = -math.inf

    def get_environ(self) -> dict[str, str]:
        if self.path.partition("?")[0] == _PATH:
            self._began = time.monotonic()
            self.server.readings = [*self.server.readings[-1:], self._began]
        return super().get_environ()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # Whoever asked has gone, or does not speak.
            return
        if self._began > self.server.wanted_from:
            self.server.was_read.set()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: each reading would be a line."""


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            # A process that has just ended leaves its port waiting.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(16)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RefusedError(
                f"metrics_port: expected a free port. Received: {port}, which another "
                f"process listens on at {host}. Take another, or 0 for any"
            ) from error
        raise RefusedError(
            f"metrics_host, metrics_port: expected an address of this machine. "
            f"Received: {host}:{port} ({error.strerror})"
        ) from error
    return bound
