"""A SavedModel for TF Serving: numbered versions, named tensors, verified."""

import json
import os
import pathlib
import shutil
import tempfile
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.errors import RefusedError
from kerascale.runs import Run

_TOLERANCE = 1e-5
_LOOKUPS = (
    keras.layers.TextVectorization,
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
)
_BATCH_SIZES = (1, 7)
_WRITING = "writing-"
_STALE_SECONDS = 3600


def export_saved_model(
    model: keras.Model | Run,
    destination: str | os.PathLike,
    *,
    input_signature: tf.TensorSpec | None = None,
    output_name: str = "probabilities",
) -> pathlib.Path:
    """Writes the next version of a model for TF Serving.

    The signatures `serving_default` and `serve` have a named input and output, with
    free batch and sequence dimensions. The version is written under a name that no
    server looks at, loaded again and compared with the model, and only then renamed
    to its number. A run's class names, or its vocabulary, stand beside the graph in
    `assets.extra/labels.json`, in the order of the output.

    Args:
        model: A run, whose preprocessing is put in front of its model; or a built
            model with one input and one output.
        destination: The folder that a server watches. Versions are numbered from 1.
        input_signature: Shape, dtype and name of the input; None: as the model was
            built, named `text`, `tokens`, `image` or `features` by what it is.
        output_name: Name of the output.

    Returns:
        The folder of the new version, such as `served/mlp/1`.

    Raises:
        RefusedError: If the model has several inputs or outputs or is not built, or
            the folder cannot be written.
        RuntimeError: If what was written does not answer as the model does.

    Example:

    ```python
    run = ks.train("mlp")
    ks.export_saved_model(run, "served/mlp")
    ```
    """
    examples = None
    labels: list[str] = []
    if isinstance(model, Run):
        labels = _labels(model)
        if model.info.kind in ("text", "corpus"):
            examples = np.array(["one two", "a", "", "The end."] * 2, dtype=object)
        model = model.serving_model
    spec = _check_input(input_signature or _built_signature(model))
    function = _serving_function(model, spec, output_name)
    if examples is None:
        examples = _made_up_examples(spec)
    base = pathlib.Path(destination)
    is_new = not base.exists()
    try:
        base.mkdir(parents=True, exist_ok=True)
        _sweep(base)
        # Same filesystem, so that the rename is atomic; not a number, so that no
        # server loads it.
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=_WRITING, dir=base))
    except OSError as error:
        raise RefusedError(
            "destination: expected a folder that can be written. Received: "
            f"{error.filename or base} ({error.strerror})."
        ) from error
    try:
        _write(model, function, temporary)
        _write_labels(labels, temporary)
        _verify(model, examples, spec.name, output_name, temporary)
        _open_to_servers(temporary)
        return _commit(temporary, base)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if is_new and not any(base.iterdir()):
            base.rmdir()
        raise


def _sweep(base: pathlib.Path) -> None:
    """Removes what an export that was killed has left."""
    for left in base.glob(f"{_WRITING}*"):
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _open_to_servers(folder: pathlib.Path) -> None:
    """Gives the folder the mode that the umask gives to all others."""
    umask = os.umask(0)
    os.umask(umask)
    # Only this folder was made for us alone, by mkdtemp.
    folder.chmod(0o777 & ~umask)


def _built_signature(model: keras.Model) -> tf.TensorSpec:
    if not isinstance(model, keras.Model) or not model.built:
        raise RefusedError(
            "model: expected a built keras.Model or a Run. Received: "
            f"{type(model).__name__}, built={getattr(model, 'built', None)}. Call the "
            "model on data, or model.build(input_shape), first."
        )
    if getattr(model, "inputs", None):  # Functional or Sequential.
        shapes, dtypes = model.input_shape, [x.dtype for x in model.inputs]
    else:
        shapes = (model.get_build_config() or {}).get("input_shape")
        if isinstance(model.input_spec, keras.InputSpec) and model.input_spec.shape:
            shapes = model.input_spec.shape  # Knows which dimensions are free.
        reads_ids = getattr(model, "vocabulary_size", None) is not None
        dtypes = ["int32" if reads_ids else "float32"]
    if not isinstance(shapes, (tuple, list)) or not all(
        size is None or isinstance(size, int) for size in shapes
    ):
        raise RefusedError(
            f"model: expected one input. Received: input_shape={shapes}. Export a "
            "model with several inputs by keras.export.ExportArchive, which takes a "
            "named signature for each."
        )
    dtype = tf.as_dtype(dtypes[0])
    rank = len(shapes)
    name = "image" if rank == 4 else "features"
    if not dtype.is_floating:
        name = "text" if dtype == tf.string else "tokens"
    return tf.TensorSpec((None, *shapes[1:]), dtype, name=name)


def _check_input(spec: tf.TensorSpec) -> tf.TensorSpec:
    if spec.name is None or spec.shape.rank is None or spec.shape.rank < 1:
        raise RefusedError(
            "input_signature: expected a tf.TensorSpec with a name and a batch "
            f"dimension. Received: {spec}."
        )
    return spec


def _serving_function(
    model: keras.Model, spec: tf.TensorSpec, output_name: str
) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(input_signature=[spec], autograph=False)
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = model(x, training=False)
        if not tf.is_tensor(y):
            raise RefusedError(
                "model: expected one output tensor. Received: an output of type "
                f"{type(y).__name__}. Export a model with several outputs by "
                "keras.export.ExportArchive."
            )
        return {output_name: y}

    # Traced here, so that a refusal comes before anything is written.
    serve.get_concrete_function()
    return serve


def _write(model: keras.Model, function: Any, folder: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    # Variables are found by the endpoints; tables are not. The whole model is not
    # tracked: Keras would trace each layer with a float32 input of its own making,
    # which a layer for token ids refuses.
    for layer in _lookup_layers(model):
        archive.track(layer)
    for name in ("serving_default", "serve"):
        archive.add_endpoint(name, function)
    archive.write_out(folder, verbose=False)


def _labels(run: Run) -> list[str]:
    """What each place of the output's last dimension stands for."""
    if run.info.kind == "corpus":
        return run.vectorizer.get_vocabulary()
    return list(run.info.class_names)


def _write_labels(labels: list[str], folder: pathlib.Path) -> None:
    if labels:
        # Where TF Serving keeps what is no part of the graph.
        extra = folder / "assets.extra"
        extra.mkdir(exist_ok=True)
        text = json.dumps(labels, ensure_ascii=False, indent=0)
        (extra / "labels.json").write_text(text + "\n", encoding="utf-8")


def _lookup_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, _LOOKUPS):
        return [layer]
    return [found for child in _children(layer) for found in _lookup_layers(child)]


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if isinstance(layer, keras.Model):
        return layer.layers
    return [v for v in vars(layer).values() if isinstance(v, keras.layers.Layer)]


def _made_up_examples(spec: tf.TensorSpec) -> np.ndarray:
    """Inputs for the comparison: any will do, as both sides get the same."""
    shape = [8, *(3 if size is None else size for size in spec.shape[1:])]
    generator = np.random.default_rng(0)
    if spec.dtype.is_floating:
        return generator.uniform(0, 1, shape).astype(spec.dtype.as_numpy_dtype)
    if spec.dtype == tf.string:
        return np.full(shape, "a b c", dtype=object)
    return generator.integers(0, 2, shape).astype(spec.dtype.as_numpy_dtype)


def _verify(
    model: keras.Model,
    examples: np.ndarray,
    input_name: str,
    output_name: str,
    folder: pathlib.Path,
) -> None:
    """Loads what was written and compares its answers with the model's."""
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for size in _BATCH_SIZES:
        batch = tf.constant(examples[:size])
        expected = keras.ops.convert_to_numpy(model(batch, training=False))
        answer = served(**{input_name: batch})[output_name].numpy()
        difference = float(np.abs(answer - expected).max(initial=0.0))
        if answer.shape != expected.shape or not difference <= _TOLERANCE:
            raise RuntimeError(
                "The exported model does not answer as the trained one: expected "
                f"outputs of shape {expected.shape} within {_TOLERANCE:g}. Received: "
                f"shape {answer.shape}, largest difference {difference:g}. Nothing "
                "was exported."
            )


def _commit(temporary: pathlib.Path, base: pathlib.Path) -> pathlib.Path:
    while True:
        numbers = [int(p.name) for p in base.iterdir() if p.name.isdecimal()]
        version = base / str(max(numbers, default=0) + 1)
        try:
            temporary.rename(version)
            return version
        except OSError:
            # Another export took the number just now; anything else is an error.
            if not version.exists():
                raise
