"""Loads a version of a model with TensorFlow alone, and tries it."""

import pathlib
from typing import Any

from kerascale.errors import RefusedError
from kerascale.runs.checkpoint.saved_model import refuse_unsafe_saved_model
from kerascale.serving.server.signatures import Signature
from kerascale.serving.server.status import StatusError, from_tensorflow

_TAG = "serve"


class Servable:
    """A loaded SavedModel.

    Args:
        folder: The SavedModel's folder.

    Raises:
        StatusError: If it is none, reaches beyond its computation, or fails.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        import tensorflow as tf

        try:
            # A graph is a program: it is looked at before it is loaded.
            refuse_unsafe_saved_model(folder)
            definitions = _definitions(folder)
        except RefusedError as error:
            raise StatusError("FAILED_PRECONDITION", str(error)) from error
        try:
            # Functions live as long as what they were loaded with.
            self._loaded = tf.saved_model.load(str(folder), tags=[_TAG])
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except Exception as error:
            # Whatever TensorFlow makes of a damaged file must not end the server.
            raise StatusError("UNKNOWN", f"{type(error).__name__}: {error}") from error
        self.definitions = definitions
        self.signatures = {
            name: Signature(name, definitions[name], function)
            for name, function in self._loaded.signatures.items()
            if name in definitions
        }
        if not self.signatures:
            raise StatusError(
                "FAILED_PRECONDITION",
                f"{folder}: expected a SavedModel with signatures. Received: none. "
                "Give tf.saved_model.save the argument signatures.",
            )

    def warm_up(self) -> list[str]:
        """Runs every signature.

        Returns:
            What a person should know of it, a line each.

        Raises:
            StatusError: If one fails.
        """
        notes = []
        for name, signature in sorted(self.signatures.items()):
            reason = signature.warm_up()
            if reason is not None:
                notes.append(f"signature {name!r}: requests are not batched: {reason}")
        return notes


def _definitions(folder: pathlib.Path) -> dict[str, Any]:
    """Name -> `SignatureDef`, of the graph that is served."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    binary = folder / "saved_model.pb"
    try:
        if binary.exists():
            saved_model.ParseFromString(binary.read_bytes())
        else:
            text = (folder / "saved_model.pbtxt").read_text("utf-8")
            text_format.Parse(text, saved_model)
    except OSError as error:
        raise RefusedError(f"{folder}: cannot be read ({error.strerror}).") from error
    for graph in saved_model.meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise RefusedError(
        f"{folder}: expected a SavedModel with a graph for the tag {_TAG!r}. Received: "
        "none. Export it by tf.saved_model.save or kerascale export."
    )
