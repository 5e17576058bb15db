"""`predict_on_batch` behind the web framework that `kerascale serve` has.

What one writes by hand: a function for each request, which the framework runs in a
thread, the faster JSON, one batch for each request.
"""

import asyncio
import json
import socket
import sys

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import kerascale as ks


def main(path: str) -> None:
    model = ks.load_run(path).serving_model
    model.predict_on_batch(np.zeros((1, 8, 8, 1), "float32"))  # Digits.

    def answer(body: bytes) -> bytes:
        x = np.array(orjson.loads(body)["instances"], np.float32)
        predictions = model.predict_on_batch(x)
        return orjson.dumps(
            {"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY
        )

    async def predict(request: Request) -> Response:
        body = await run_in_threadpool(answer, await request.body())
        return Response(body, media_type="application/json")

    app = Starlette(
        routes=[Route("/v1/models/{model}:predict", predict, methods=["POST"])]
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    with socket.create_server(("127.0.0.1", 0)) as bound:
        address = "http://{}:{}".format(*bound.getsockname())
        print(json.dumps({"address": address}), flush=True)
        asyncio.run(uvicorn.Server(config).serve(sockets=[bound]))


if __name__ == "__main__":
    main(sys.argv[1])
