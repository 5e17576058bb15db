"""Workers of a cluster that ask one another, at the addresses of TF_CONFIG.

Each listens at its own address, which is where TensorFlow will listen, and asks every
other one. What each has found goes to the first worker, who answers all alike.
"""

import contextlib
import json
import socket
import socketserver
import threading
import time
from typing import Any

from kerascale.diagnostics.doctor.cluster import facts

_RETRY_SECONDS = 0.2
_CONNECT_SECONDS = 2.0
# How much longer a worker waits for the answer than the first one for all.
_GRACE_SECONDS = 5.0


class Place:
    """The place of this worker: answers the others, and collects what they push.

    Args:
        workers: Addresses, `host:port`, in the order of ranks.
        index: Of this worker.
        own: What it says of itself.
    """

    def __init__(self, workers: tuple[str, ...], index: int, own: dict) -> None:
        self.workers, self.index, self.own = workers, index, own
        self._pushed: dict[str, dict[int, Any]] = {}
        self._answers: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._server: socketserver.ThreadingTCPServer | None = None

    @contextlib.contextmanager
    def open(self):
        """Listens within.

        Raises:
            OSError: If the port cannot be opened.
        """
        place = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    request = json.loads(self.rfile.readline())
                    answer = place._answer(request)
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        port = int(self.workers[self.index].rpartition(":")[2])
        with Server(("", port), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.1,))
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def _answer(self, request: dict[str, Any]) -> Any:
        if request["ask"] == "facts":
            return {"index": self.index, "now": facts.now(), **self.own}
        name, rank = request["ask"], int(request["rank"])
        with self._changed:
            self._pushed.setdefault(name, {})[rank] = request["content"]
            self._changed.notify_all()
            self._changed.wait_for(lambda: name in self._answers, request["seconds"])
            return self._answers.get(name)

    def collect(self, name: str, own: Any, until: float) -> dict[int, Any]:
        """Of the first worker: what all have pushed, as far as it came in time."""
        with self._changed:
            pushed = self._pushed.setdefault(name, {})
            pushed[self.index] = own
            self._changed.wait_for(
                lambda: len(pushed) == len(self.workers), until - time.monotonic()
            )
            return dict(pushed)

    def answer(self, name: str, content: Any) -> None:
        """Of the first worker: answers all who have pushed."""
        with self._changed:
            self._answers[name] = content
            self._changed.notify_all()
        time.sleep(_RETRY_SECONDS)  # It is on its way before the port is closed.

    def push(self, name: str, content: Any, until: float) -> Any:
        """Of another worker: the first one's answer; None: it was not reached."""
        seconds = until - time.monotonic() + _GRACE_SECONDS
        request = {"ask": name, "rank": self.index, "content": content}
        found = self._asked(0, {**request, "seconds": seconds}, until, seconds)
        return None if found is None else found[0]

    def ask_all(self, until: float) -> dict[int, Any]:
        """Rank -> facts with `offset` and `round_trip` in seconds; or None."""
        found: dict[int, Any] = {}

        def ask(rank: int) -> None:
            answer = self._asked(rank, {"ask": "facts"}, until, _CONNECT_SECONDS)
            if answer is None or answer[0].get("index") != rank:
                found[rank] = None
                return
            told, before, after = answer
            told["offset"] = told.pop("now") - (before + after) / 2
            told["round_trip"] = after - before
            found[rank] = told

        ranks = [r for r in range(len(self.workers)) if r != self.index]
        threads = [threading.Thread(target=ask, args=(rank,)) for rank in ranks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def _asked(
        self, rank: int, request: dict, until: float, seconds: float
    ) -> tuple[Any, float, float] | None:
        host, _, port = self.workers[rank].rpartition(":")
        while time.monotonic() < until:
            with contextlib.suppress(OSError, ValueError):
                address = (host.strip("[]"), int(port))
                with socket.create_connection(address, _CONNECT_SECONDS) as peer:
                    peer.settimeout(seconds)
                    before = facts.now()
                    peer.sendall(json.dumps(request).encode() + b"\n")
                    line = peer.makefile("rb").readline()
                    if line:
                        return json.loads(line), before, facts.now()
            time.sleep(_RETRY_SECONDS)
        return None
