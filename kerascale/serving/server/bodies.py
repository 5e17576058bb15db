"""The body of a request, no larger than allowed."""

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from kerascale.serving.server.settings import Limits
from kerascale.serving.server.status import StatusError

_GZIP = 16 + zlib.MAX_WBITS
_DISCARD_SECONDS = 2.0


class Bodies:
    """Reads bodies, and knows how much memory all of them take.

    Args:
        limits: The largest body, and the most of all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body, counted as long as it is in use.

        Raises:
            StatusError: If it is too large, or not what its headers say.
        """
        stream = request.stream()
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self._limits.body_bytes:
            if "expect" not in request.headers:  # Who asks first has sent nothing.
                await _discard(stream)
            raise self._too_large()
        held = 0
        try:
            chunks = []
            async for chunk in stream:
                held += len(chunk)
                self._held += len(chunk)
                if held > self._limits.body_bytes:
                    await _discard(stream)
                    raise self._too_large()
                if self._held > self._limits.total_bytes:
                    raise StatusError(
                        "UNAVAILABLE",
                        "The server is working on too many large requests. Try again "
                        "later.",
                    )
                chunks.append(chunk)
            body = b"".join(chunks)
            if request.headers.get("content-encoding", "").lower() == "gzip":
                body = self._unpack(body)
            yield body
        finally:
            self._held -= held

    def _unpack(self, packed: bytes) -> bytes:
        unpacker = zlib.decompressobj(_GZIP)
        try:
            body = unpacker.decompress(packed, self._limits.body_bytes + 1)
        except zlib.error as error:
            raise StatusError(
                "INVALID_ARGUMENT", f"Content-Encoding is gzip, but: {error}"
            ) from error
        if len(body) > self._limits.body_bytes:
            raise self._too_large()
        if not unpacker.eof:
            raise StatusError(
                "INVALID_ARGUMENT", "Content-Encoding is gzip, but the end is missing"
            )
        return body

    def _too_large(self) -> StatusError:
        return StatusError(
            "RESOURCE_EXHAUSTED",
            f"The request's body has more than {self._limits.body_bytes} bytes",
            http=413,
        )


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Reads on for a while: to close on a client that still sends loses the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for _ in stream:
                pass
