"""The process: it binds, loads, answers, and ends when it is told to."""

import asyncio
import dataclasses
import errno
import gc
import pathlib
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from kerascale.errors import EXIT_DONE, EXIT_INTERRUPTED, RefusedError
from kerascale.runtime.console import say
from kerascale.serving.server.answering import Answering
from kerascale.serving.server.app import make_app
from kerascale.serving.server.batching import Runner
from kerascale.serving.server.connections import Connection
from kerascale.serving.server.metrics import Metrics
from kerascale.serving.server.repository import Check, find_models
from kerascale.serving.server.settings import Batching, Limits
from kerascale.serving.server.watching import Watcher


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a folder is served.

    Args:
        base: The folder.
        model_name: The model's name; None: the folder's.
        host: The address to listen on.
        port: The port; 0: any that is free.
        poll_seconds: How often the folder is looked at.
        grace_seconds: How long requests may take to end after a signal.
        batching: How requests are joined.
        limits: What a request may cost.
        metrics_path: Where Prometheus reads; None: nowhere.
        check: What a version must pass; see `repository.find_models`.
    """

    base: pathlib.Path
    model_name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8501
    poll_seconds: float = 1.0
    grace_seconds: float = 30.0
    batching: Batching = dataclasses.field(default_factory=Batching)
    limits: Limits = dataclasses.field(default_factory=Limits)
    metrics_path: str | None = None
    check: Check | None = None


def bind(host: str, port: int) -> socket.socket:
    """A socket for the server.

    Raises:
        RefusedError: If the address or the port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        # A server that has just ended leaves its port waiting.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # A second server would get as far as this socket otherwise.
        bound.listen(1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RefusedError(
                f"--port: expected a free port. Received: {port}, which another "
                f"process listens on at {host}. Take another, or --port 0 for any."
            ) from error
        raise RefusedError(
            "--host, --port: expected an address of this machine. Received: "
            f"{host}:{port} ({error.strerror})."
        ) from error
    return bound


def serve(
    settings: Settings,
    bound: socket.socket,
    on_ready: Callable[[str, dict[str, list[int]]], None],
) -> int:
    """Serves until a signal comes.

    Args:
        settings: What is served, and how.
        bound: The socket, from `bind`.
        on_ready: Called with the server's address, and the versions of each model.

    Returns:
        The exit code: 0 after SIGTERM, 130 after SIGINT.

    Raises:
        RefusedError: If a model has no version that can be loaded.
    """
    watchers = find_models(settings.base, settings.model_name, settings.check)
    # What is there by now is not looked through each time that a version goes.
    gc.collect()
    gc.freeze()
    received: list[int] = []
    with asyncio.Runner() as runner:
        try:
            runner.run(_load_all(watchers))
            _with_handlers(received)
            runner.run(_serve(settings, bound, watchers, on_ready))
        finally:
            bound.close()
    return EXIT_INTERRUPTED if signal.SIGINT in received else EXIT_DONE


def _with_handlers(received: list[int]) -> None:
    """uvicorn stops at a signal, and passes it on at the end: to here."""

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)


async def _load_all(watchers: list[Watcher]) -> None:
    for watcher in watchers:
        await watcher.refresh()
    problems = [
        f"{watcher.model.name}: expected a version that can be loaded. Received: "
        f"version {number}, {version.message}"
        for watcher in watchers
        if not watcher.model.available
        for number, version in sorted(watcher.model.versions.items())
    ]
    if problems:
        raise RefusedError(problems, heading="nothing to serve")


async def _serve(
    settings: Settings,
    bound: socket.socket,
    watchers: list[Watcher],
    on_ready: Callable[[str, dict[str, list[int]]], None],
) -> None:
    models = {watcher.model.name: watcher.model for watcher in watchers}
    metrics = Metrics()
    runner = Runner(settings.batching, settings.limits.queued, metrics)
    app = make_app(
        models,
        Answering(models, runner),
        metrics,
        settings.limits,
        settings.metrics_path,
    )
    config = uvicorn.Config(
        app,
        http=Connection.with_limit(settings.limits.header_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
    )
    server = uvicorn.Server(config)
    watching = asyncio.create_task(_watch(watchers, settings.poll_seconds))
    ready = asyncio.create_task(_tell(server, bound, models, on_ready))
    try:
        await server.serve(sockets=[bound])
    finally:
        for task in (watching, ready):
            task.cancel()
        await asyncio.gather(watching, ready, return_exceptions=True)
        runner.close()


async def _watch(watchers: list[Watcher], poll_seconds: float) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        for watcher in watchers:
            try:
                await watcher.refresh()
            except Exception as error:
                # A folder that puzzles the server must not end what it serves.
                say(f"kerascale serve: {watcher.model.name}: {error!r}")


async def _tell(
    server: uvicorn.Server,
    bound: socket.socket,
    models: dict,
    on_ready: Callable[[str, dict[str, list[int]]], None],
) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = bound.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    on_ready(address, {name: model.available for name, model in models.items()})
