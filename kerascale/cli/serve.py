"""`kerascale serve DEST`: answers requests as TF Serving does, on this machine."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated

from kerascale.cli import parsing, quiet
from kerascale.cli.results import finish
from kerascale.config.fields import (
    Limits,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    check,
)
from kerascale.errors import RefusedError
from kerascale.runtime import extras

_USAGE = "DEST [--port PORT] [--host HOST] [--no-batching]"
_PACKAGES = ("orjson", "prometheus_client", "starlette", "uvicorn", "httptools")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Serve a folder of versions with the REST interface of TF Serving.

    For development, tests and small installations; TF Serving is for production. The
    folder is polled: new versions take over while requests go on."""

    model_name: str | None = None
    """Name in requests; default: the folder's."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all, without encryption or a password."""
    port: Annotated[int, Limits(at_least=0, below=2**16)] = 8501
    """Port to listen on; 0 for any that is free, which is printed."""
    poll_seconds: PositiveFloat = 1.0
    """How often the folder is looked at for versions and labels."""
    no_batching: bool = False
    """Run each request for itself."""
    max_batch_size: PositiveInt | None = None
    """Rows of a batch; default: DEST/batching_parameters.txt, else 64."""
    batch_timeout_ms: NonNegativeFloat | None = None
    """How long a batch waits for more rows; default: the file's, else 0."""
    batch_threads: PositiveInt | None = None
    """Batches that run at once; default: the file's, else the cores, 4 at most."""
    max_queued_requests: PositiveInt = 1000
    """Requests that may wait; 503 beyond them."""
    max_request_mb: PositiveFloat = 64.0
    """Largest body of a request, in MiB; 413 beyond it."""
    request_seconds: PositiveFloat = 30.0
    """Time for a request; 504 beyond it."""
    grace_seconds: PositiveFloat = 30.0
    """How long requests may take to end after SIGTERM or Ctrl-C."""
    require_signature: str | None = None
    """A public key in PEM: versions that kerascale sign has not signed with its private
    key are not loaded. Needs kerascale[sign]."""
    json: bool = False
    """Print the address as one JSON object on standard output, once it answers."""

    def __post_init__(self) -> None:
        problems = check(self)
        if problems:
            raise RefusedError(problems, heading="serve")


def run(arguments: Sequence[str]) -> int:
    (destination,), rest = parsing.positional(
        arguments, ["DEST"], program="kerascale serve", usage=_USAGE, options=Options
    )
    options = parsing.parse(Options, rest, program="kerascale serve DEST")
    extras.refuse_without("serve", "serve", _PACKAGES)
    # A server runs graphs, and Keras has no part in that: TensorFlow, which imports
    # Keras where it finds it, starts quicker and smaller without.
    sys.modules.setdefault("keras", None)

    from kerascale.serving.server import repository, running, settings

    check = None
    if options.require_signature is not None:
        from kerascale.trust.signing import sign_folders

        sign_folders.refuse_bad_key(options.require_signature)
        check = functools.partial(
            sign_folders.verify_version, key=options.require_signature
        )
    base = pathlib.Path(destination)
    chosen = running.Settings(
        base=base,
        model_name=options.model_name,
        host=options.host,
        port=options.port,
        poll_seconds=options.poll_seconds,
        grace_seconds=options.grace_seconds,
        batching=settings.read_batching(
            base,
            enabled=not options.no_batching,
            max_batch_size=options.max_batch_size,
            timeout_ms=options.batch_timeout_ms,
            threads=options.batch_threads,
        ),
        limits=settings.Limits(
            body_bytes=round(options.max_request_mb * 2**20),
            seconds=options.request_seconds,
            queued=options.max_queued_requests,
        ),
        metrics_path=settings.read_metrics_path(base),
        check=check,
    )
    repository.find_models(base, options.model_name)
    bound = running.bind(options.host, options.port)
    quiet.import_tensorflow()

    def on_ready(address: str, models: dict[str, list[int]]) -> None:
        finish(
            {"address": address, "models": models},
            as_json=options.json,
            text="\n".join(
                f"Serving {name}, version {', '.join(map(str, versions))}: "
                f"{address}/v1/models/{name}:predict"
                for name, versions in models.items()
            ),
        )

    return running.serve(chosen, bound, on_ready)
