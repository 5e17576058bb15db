"""The answer to each kind of request, once its body has been read."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format

from kerascale.serving.server import documents, examples
from kerascale.serving.server.batching import Runner
from kerascale.serving.server.inputs import read_inputs
from kerascale.serving.server.model import Model, Version
from kerascale.serving.server.outputs import write_outputs
from kerascale.serving.server.signatures import Signature
from kerascale.serving.server.status import StatusError, invalid
from kerascale.serving.server.targets import CLASSIFY, METADATA, PREDICT, STATUS, Target

_DEFAULT = "serving_default"
# What is larger is read and written in a thread, so that short requests need not wait.
_LARGE_BYTES = 2**20


class Answering:
    """Answers requests.

    Args:
        models: Name -> model.
        runner: Runs their signatures.
    """

    def __init__(self, models: Mapping[str, Model], runner: Runner) -> None:
        self._models = models
        self._runner = runner

    async def answer(self, target: Target, body: bytes) -> bytes:
        """The body of the answer.

        Raises:
            StatusError: If the request cannot be answered.
        """
        if target.action == STATUS:
            return self._status(target)
        if target.action == METADATA:
            return self._metadata(target)
        document = await _maybe_in_thread(len(body), documents.parse, body)
        name = documents.signature_name(document)
        if target.action == PREDICT:
            return await self._predict(target, document, name, len(body))
        return await self._infer(target, document, name, len(body))

    async def _predict(
        self, target: Target, document: dict[str, Any], name: str, size: int
    ) -> bytes:
        with self._version(target) as version:
            signature = _signature(version, name)
            arrays, rows = await _maybe_in_thread(
                size, read_inputs, document, signature.kinds
            )
            outputs = await self._runner.run(signature, arrays)
            written = sum(array.nbytes for array in outputs.values())
            return await _maybe_in_thread(
                written, lambda: write_outputs(outputs, rows=rows)
            )

    async def _infer(
        self, target: Target, document: dict[str, Any], name: str, size: int
    ) -> bytes:
        array = await _maybe_in_thread(size, examples.read_examples, document)
        classify = target.action == CLASSIFY
        method = examples.CLASSIFY if classify else examples.REGRESS
        write = examples.write_classes if classify else examples.write_values
        with self._version(target) as version:
            signature = _signature_of(version, name, method)
            outputs = await self._runner.run(signature, {examples.INPUTS: array})
            return write(outputs, len(array))

    @contextlib.contextmanager
    def _version(self, target: Target) -> Iterator[Version]:
        """The version that a request began on, which stays until it has ended."""
        model = self._model(target)
        version = model.acquire(target.version, target.label)
        try:
            yield version
        finally:
            model.release(version)

    def _model(self, target: Target) -> Model:
        # One that nobody knows is a model without versions.
        return self._models.get(target.model) or Model(target.model)

    def _status(self, target: Target) -> bytes:
        model = self._model(target)
        versions = model.versions
        number = target.version
        if target.label is not None:
            number = model.number_of(target.label)
        if number is not None:
            if number not in versions:
                raise StatusError(
                    "NOT_FOUND",
                    f"Could not find version {number} of model {target.model}",
                )
            versions = {number: versions[number]}
        if not versions:
            raise StatusError(
                "NOT_FOUND", f"Could not find any versions of model {target.model}"
            )
        statuses = [
            {
                "version": str(number),
                "state": version.state,
                "status": {
                    "error_code": version.code,
                    "error_message": version.message,
                },
            }
            for number, version in sorted(versions.items(), reverse=True)
        ]
        return _dump({"model_version_status": statuses})

    def _metadata(self, target: Target) -> bytes:
        with self._version(target) as version:
            definitions = {
                name: json_format.MessageToDict(
                    definition,
                    preserving_proto_field_name=True,
                    always_print_fields_with_no_presence=True,
                )
                for name, definition in sorted(version.servable.definitions.items())
            }
            return _dump(
                {
                    "model_spec": {
                        "name": target.model,
                        "signature_name": "",
                        "version": str(version.number),
                    },
                    "metadata": {"signature_def": {"signature_def": definitions}},
                }
            )


def _dump(document: Any) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode("utf-8")


def _signature(version: Version, name: str) -> Signature:
    name = name or _DEFAULT
    servable = version.servable
    if name not in servable.definitions:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    signature = servable.signatures.get(name)
    if signature is None or not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name}")
    return signature


def _signature_of(version: Version, name: str, method: str) -> Signature:
    """A signature for classify or regress."""
    name = name or _DEFAULT
    signature = version.servable.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    kind = "classification" if method == examples.CLASSIFY else "regression"
    if signature.method != method:
        raise invalid(
            f"Expected {kind} signature method_name to be {method}. Was: "
            f"{signature.method}"
        )
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if examples.INPUTS not in signature.inputs:
        raise StatusError(
            "FAILED_PRECONDITION",
            f"No {kind} inputs found in SignatureDef: {', '.join(signature.inputs)}",
        )
    return signature


async def _maybe_in_thread(
    size: int, function: Callable[..., Any], *arguments: Any
) -> Any:
    if size > _LARGE_BYTES:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)
