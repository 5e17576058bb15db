"""Which other agents this one reaches: a cut network is not a dead host."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Mapping

_ASK_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
# How long a host is still taken for reached that does not answer any more.
_CUT_SECONDS = 6.0
_LARGEST = 256


class Reach(threading.Thread):
    """Asks the other agents, and answers them, in a thread of its own.

    Args:
        instance: Of this agent.
    """

    def __init__(self, instance: str) -> None:
        super().__init__(name="kerascale-launch-reach", daemon=True)
        self._instance = instance
        self._server = socket.socket()
        self._server.bind(("", 0))
        self._server.listen(64)
        self.port: int = self._server.getsockname()[1]
        # Name -> (host, port, instance).
        self._others: dict[str, tuple[str, int, str]] = {}
        self._answered: dict[str, tuple[str, float]] = {}

    def look_for(self, others: Mapping[str, tuple[str, int, str]]) -> None:
        """Whom to ask from now on: name -> (host, port, instance)."""
        self._others = dict(others)

    def reached(self) -> tuple[str, ...]:
        """Names of those that have answered lately."""
        now = time.monotonic()
        return tuple(
            sorted(
                name
                for name, (instance, at) in self._answered.copy().items()
                if now - at < _CUT_SECONDS
                and self._others.get(name, ("", 0, ""))[2] == instance
            )
        )

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        server = await asyncio.start_server(self._answer, sock=self._server)
        async with server:
            while True:
                others = list(self._others.items())
                await asyncio.gather(
                    asyncio.sleep(_ASK_SECONDS),
                    *(self._ask(name, *other) for name, other in others),
                )

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            writer.write(f"{self._instance}\n".encode())
            await asyncio.wait_for(writer.drain(), _ANSWER_SECONDS)
        writer.close()

    async def _ask(self, name: str, host: str, port: int, instance: str) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError):
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(
                    host, port, limit=_LARGEST
                )
                with contextlib.closing(writer):
                    line = await reader.readline()
            if line.decode().strip() == instance:
                self._answered[name] = (instance, time.monotonic())
