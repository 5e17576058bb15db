"""The ASGI application: requests in, answers and errors out, counted."""

import asyncio
import json
import time
import traceback

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kerascale.runtime.console import say
from kerascale.serving.server.answering import Answering
from kerascale.serving.server.bodies import Bodies
from kerascale.serving.server.metrics import CONTENT_TYPE, Metrics
from kerascale.serving.server.model import Model
from kerascale.serving.server.settings import Limits
from kerascale.serving.server.status import StatusError
from kerascale.serving.server.targets import Target, parse_target

_JSON = "application/json"


def make_app(
    models: dict[str, Model],
    answering: Answering,
    metrics: Metrics,
    limits: Limits,
    metrics_path: str | None,
) -> Starlette:
    """The application.

    Args:
        models: Name -> model.
        answering: Answers their requests.
        metrics: Counts them.
        limits: What a request may cost.
        metrics_path: Where Prometheus reads; None: nowhere.
    """

    async def show_metrics(request: Request) -> Response:
        loaded = [
            (name, number)
            for name, model in models.items()
            for number in model.available
        ]
        return Response(metrics.text(loaded), media_type=CONTENT_TYPE)

    routes = [Route("/{path:path}", _Rest(models, answering, metrics, limits))]
    if metrics_path is not None:
        routes.insert(0, Route(metrics_path, show_metrics, methods=["GET"]))
    return Starlette(routes=routes)


class _Rest:
    def __init__(
        self,
        models: dict[str, Model],
        answering: Answering,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self._models = models
        self._answering = answering
        self._metrics = metrics
        self._limits = limits
        self._bodies = Bodies(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = Request(scope, receive)
        target = None
        try:
            target = parse_target(scope["method"], _raw_path(scope))
            response = await self._respond(request, target)
        except StatusError as error:
            response = _error(error.message, error.http)
        except ClientDisconnect:
            return  # Nobody is there to read an answer.
        except Exception:
            say(f"kerascale serve: {traceback.format_exc()}")
            response = _error("Internal error; the server's log has more of it.", 500)
        self._count(target, response.status_code, time.perf_counter() - started)
        await response(scope, receive, send)

    async def _respond(self, request: Request, target: Target) -> Response:
        has_body = False
        try:
            async with asyncio.timeout(self._limits.seconds):
                async with self._bodies.read(request) as body:
                    has_body = True
                    return Response(
                        await self._answering.answer(target, body), media_type=_JSON
                    )
        except TimeoutError:
            seconds = f"{self._limits.seconds:g} seconds"
            if has_body:
                return _error(f"The request took more than {seconds}", 504)
            return _error(f"The request's body took more than {seconds} to come", 408)

    def _count(self, target: Target | None, status: int, seconds: float) -> None:
        known = target is not None and target.model in self._models
        model = target.model if known else ""
        action = target.action if target is not None else ""
        self._metrics.requests.labels(model, action, str(status)).inc()
        self._metrics.seconds.labels(model, action).observe(seconds)


def _raw_path(scope: Scope) -> str:
    return scope["raw_path"].partition(b"?")[0].decode("latin-1")


def _error(message: str, status: int) -> Response:
    # What a message repeats of a request may be no text.
    body = json.dumps({"error": message}).encode("ascii")
    headers = {}
    if status in (408, 413):
        # The rest of the request is not worth reading.
        headers["connection"] = "close"
    if status == 503:
        headers["retry-after"] = "1"
    return Response(body, status, headers, media_type=_JSON)
