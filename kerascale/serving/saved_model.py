"""A SavedModel for TF Serving: numbered versions, named tensors, verified."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.errors import ExportRefusedError, RefusedError
from kerascale.runs.run import Run
from kerascale.runtime.console import say
from kerascale.serving import (
    classify,
    compatibility,
    examples,
    folders,
    formats,
    gate,
    graph,
    interface,
    promotion,
    record,
    regress,
    server_files,
    source,
    warm_up,
)
from kerascale.serving.interface import Interface
from kerascale.serving.source import Subject

MAX_DROP = 0.02


def export_saved_model(
    model: keras.Model | Run,
    destination: str | os.PathLike,
    *,
    input_signature: Any = None,
    output_name: str | None = None,
    labels: Sequence[str] | None = None,
    inputs: Any = None,
    max_drop: float = MAX_DROP,
    allow_breaking: bool = False,
) -> pathlib.Path:
    """Writes the next version of a model for TF Serving.

    The signatures `serving_default` and `serve` have named inputs and outputs, with
    free batch and sequence dimensions; a classifier has `classify` too, a regression of
    one target `regress`. The version is
    written under a name that no server looks at. It is loaded in a process without
    Keras and compared with the model, and its signatures and its main metric with those
    of the version that is served; only then is it renamed to its number. What stands
    beside the graph, in `assets.extra`: labels, warm-up requests, the `tokenizer.json`
    of a run with byte pairs, and `kerascale.json`, which says where the version comes
    from.

    Args:
        model: A run, whose preprocessing is put in front of its model; or a built
            model.
        destination: The folder that a server watches. Versions are numbered from 1.
        input_signature: A `tf.TensorSpec` with shape, dtype and name for each input, in
            the structure that the model takes; None: as the model was built. Unless it
            has a name, a single input is `text`, `tokens`, `image` or `features` by
            what it is.
        output_name: Name of a single output; None: `prediction` of a regression, else
            `probabilities`. Several have the keys of the dict that
            the model returns, or the names of their layers.
        labels: Names of the classes of a classifier; None: those of the run's data.
        inputs: A batch of real inputs to compare and to warm up with; None: those that
            the run kept, else made-up ones.
        max_drop: How much worse the main metric may be than that of the version that
            is served, in its own unit. 0.02 is what the accuracy on a few hundred
            examples moves by itself.
        allow_breaking: Exports although a client of the version that is served would
            find something changed, or the main metric is worse.

    Returns:
        The folder of the new version, such as `served/mlp/1`.

    Raises:
        RefusedError: If the model is not built or has tensors without names, or the
            folder cannot be written.
        ExportRefusedError: If what was written does not answer as the model does, or
            cannot take the place of the version that is served.

    Example:

    ```python
    run = ks.train("mlp")
    ks.export_saved_model(run, "served/mlp")
    ```
    """
    if isinstance(model, Run):
        what = source.of_run(model, labels=labels, inputs=inputs)
    else:
        what = source.of_model(model, labels=labels, inputs=inputs)
    output_name = output_name or what.output_name
    face = interface.of(what.model, input_signature, output_name)
    arrays = examples_of(what, face)
    functions = signature_functions(what, face, arrays, is_required=labels is not None)
    base = pathlib.Path(destination)
    server_files.read(base)  # Refused before anything is written.
    formats.refuse_other(base, "saved_model")
    with folders.temporary(base) as temporary, gate.loader_process() as loader:
        graph.write(what.model, functions, temporary)
        extra = temporary / record.EXTRA
        extra.mkdir(exist_ok=True)
        record.write_labels(temporary, what.labels)
        record.write_tokenizer(temporary, what.tokenizer)
        classifies = classify.NAME in functions
        warm_up.write(extra / warm_up.FILE, arrays, face.specs, classifies=classifies)
        signatures = _signatures(temporary)
        compatibility.refuse_frozen_batch(signatures)
        calls, expected = questions(what, face, arrays, list(functions))
        _, answers = loader.ask(temporary, calls)
        gate.compare(calls, expected, answers)
        return promotion.commit(
            temporary,
            base,
            what,
            signatures,
            max_drop=max_drop,
            allow_breaking=allow_breaking,
        )


def examples_of(what: Subject, face: Interface) -> tuple[np.ndarray, ...]:
    """A batch of inputs that fit: real ones, if any are known."""
    if what.examples is None:
        return examples.made_up(face.specs)
    return examples.fitted(what.examples, face.specs)


def signature_functions(
    what: Subject,
    face: Interface,
    arrays: Sequence[np.ndarray],
    *,
    is_required: bool,
) -> dict[str, Any]:
    """Signature -> function: what a SavedModel offers.

    Args:
        what: The model.
        face: How it is called by name.
        arrays: Examples.
        is_required: Whether a model that can have no `classify` is refused.
    """
    serve = graph.serving_function(face)
    functions = {"serving_default": serve, "serve": serve}
    if what.is_regression and len(what.labels) == 1:
        functions[regress.NAME] = regress.make_function(face)
    if what.is_classifier:
        one = examples.tensors([array[:1] for array in arrays], face.specs)
        problem = classify.problem(face, what.labels, one)
        if problem and is_required:
            raise RefusedError(problem)
        if problem:
            say(f"no signature {classify.NAME}. {problem}")
        else:
            functions[classify.NAME] = classify.make_function(face, what.labels)
    return functions


def questions(
    what: Subject,
    face: Interface,
    arrays: Sequence[np.ndarray],
    signatures: Sequence[str],
) -> tuple[list[gate.Call], list[dict[str, np.ndarray]]]:
    """What the written version is asked, and what the trained model answers."""
    names = [spec.name for spec in face.specs]
    ask = face.call
    if any(
        "16" in layer.compute_dtype for layer in keras_private.all_layers(face.model)
    ):
        # Op by op, each result is rounded to a half; a graph fuses some, as `predict`.
        ask = tf.function(ask, autograph=False)
    calls: list[gate.Call] = []
    expected: list[dict[str, np.ndarray]] = []
    for batch in examples.batches(arrays, face.specs):
        # The version is loaded on a CPU, which computes otherwise than a GPU.
        with tf.device("CPU:0"):
            outputs = ask(*examples.tensors(batch, face.specs))
        answers = {name: np.asarray(output) for name, output in outputs.items()}
        for signature in signatures:
            if signature not in (classify.NAME, regress.NAME):
                calls.append((signature, dict(zip(names, batch, strict=True))))
                expected.append(answers)
        if classify.NAME in signatures:
            rows = zip(*batch, strict=True)
            serialised = [classify.example(row, face.specs) for row in rows]
            calls.append((classify.NAME, {"inputs": np.array(serialised, object)}))
            (scores,) = answers.values()
            labels = np.array([label.encode() for label in what.labels], object)
            classes = np.broadcast_to(labels, scores.shape)
            scores = scores.astype(np.float32)
            expected.append({"classes": classes, "scores": scores})
        if regress.NAME in signatures:
            rows = zip(*batch, strict=True)
            serialised = [classify.example(row, face.specs) for row in rows]
            calls.append((regress.NAME, {"inputs": np.array(serialised, object)}))
            (values,) = answers.values()
            expected.append({"outputs": values.astype(np.float32)})
    return calls, expected


def _signatures(folder: pathlib.Path) -> graph.Signatures:
    try:
        return graph.read_signatures(folder)
    except ValueError as error:
        raise ExportRefusedError(str(error)) from error
