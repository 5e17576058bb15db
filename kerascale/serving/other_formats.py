"""Versions in formats that TensorFlow does not need to be there for."""

import os
import pathlib
import tempfile
from typing import Any, Literal

import keras
import tensorflow as tf

from kerascale.errors import RefusedError
from kerascale.runs.run import Run
from kerascale.serving import (
    compatibility,
    converters,
    folders,
    formats,
    gate,
    graph,
    interface,
    promotion,
    record,
    server_files,
    source,
)
from kerascale.serving.saved_model import MAX_DROP, examples_of, questions

_CONVERT = {"onnx": converters.to_onnx, "litert": converters.to_litert}
_SIGNATURE = "serving_default"


def export_converted(
    model: keras.Model | Run,
    destination: str | os.PathLike,
    *,
    format: Literal["onnx", "litert"],
    input_signature: Any = None,
    output_name: str | None = None,
    inputs: Any = None,
    max_drop: float = MAX_DROP,
    allow_breaking: bool = False,
) -> pathlib.Path:
    """Writes the next version of a model as `model.onnx` or `model.tflite`.

    It is `export_saved_model` in another format, with the same names and the same
    comparisons, in a process that has the format's own runtime.

    Args:
        model: A run whose model takes numbers, or a built model. Of a run on texts
            pass `run.model`, which takes token ids.
        destination: The folder of the versions.
        format: `onnx` (needs kerascale[onnx]) or `litert` (needs kerascale[litert]).
        input_signature: See `export_saved_model`.
        output_name: See `export_saved_model`.
        inputs: See `export_saved_model`.
        max_drop: See `export_saved_model`.
        allow_breaking: See `export_saved_model`.

    Returns:
        The folder of the new version, such as `served/mlp/1`.

    Raises:
        RefusedError: If the model takes strings, or the format's libraries are missing.
        ExportRefusedError: If the model cannot be converted, or the version does not
            answer as the model does, or cannot take the place of the served one.
    """
    if format not in _CONVERT:
        raise RefusedError(
            f"format: expected one of {', '.join(_CONVERT)}. Received: {format}."
        )
    formats.refuse_missing_modules(format)
    if isinstance(model, Run):
        what = source.of_run(model, labels=None, inputs=inputs)
    else:
        what = source.of_model(model, labels=None, inputs=inputs)
    output_name = output_name or what.output_name
    face = interface.of(what.model, input_signature, output_name)
    texts = [spec.name for spec in face.specs if spec.dtype == tf.string]
    if texts:
        raise RefusedError(
            f"format {format}: expected inputs that are numbers, as it has no string "
            f"operations for a vocabulary. Received: the text input {texts[0]}. Export "
            "a SavedModel, or in Python export_converted(run.model, ...), which takes "
            "token ids: run.vectorizer makes them."
        )
    arrays = examples_of(what, face)
    base = pathlib.Path(destination)
    server_files.read(base)  # Refused before anything is written.
    formats.refuse_other(base, format)
    with (
        folders.temporary(base) as temporary,
        gate.loader_process(format) as loader,
        tempfile.TemporaryDirectory(prefix="kerascale-convert-") as scratch,
    ):
        saved_model = pathlib.Path(scratch) / "saved_model"
        function = graph.serving_function(face)
        graph.write(what.model, {_SIGNATURE: function}, saved_model)
        file = temporary / formats.FILES[format]
        _CONVERT[format](saved_model, file)
        (temporary / record.EXTRA).mkdir()
        record.write_labels(temporary, what.labels)
        record.write_tokenizer(temporary, what.tokenizer)
        calls, expected = questions(what, face, arrays, [_SIGNATURE])
        tensors, answers = loader.ask(file, calls)
        gate.compare(calls, expected, answers)
        signatures = {_SIGNATURE: {"method": format, **tensors}}
        compatibility.refuse_frozen_batch(
            {_SIGNATURE: {**signatures[_SIGNATURE], "outputs": {}}}
        )
        return promotion.commit(
            temporary,
            base,
            what,
            signatures,
            max_drop=max_drop,
            allow_breaking=allow_breaking,
        )
