"""Connections that send nothing are closed: uvicorn would wait for ever."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """A connection whose headers have to come within a time.

    uvicorn's own limit counts between requests only, and ends with the first byte.
    """

    header_seconds = 10.0
    _header_timer: asyncio.TimerHandle | None = None

    @classmethod
    def with_limit(cls, seconds: float) -> type["Connection"]:
        """The same with another limit."""
        return type(cls.__name__, (cls,), {"header_seconds": seconds})

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait_for_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._header_timer is None:
            self._wait_for_headers()

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._header_timer = self.loop.call_later(
            self.header_seconds, self.transport.close
        )

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
