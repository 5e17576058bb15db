"""The files of a run folder, and how each is read: whole, or refused by name."""

import dataclasses
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from kerascale.config.fields import check
from kerascale.errors import RefusedError
from kerascale.runs.checkpoint import refuse_unsafe_keras_file
from kerascale.runs.layout import CONFIG
from kerascale.runtime import remote_paths

_FETCH = "Copy the run folder to this host first: kerascale fetch ADDRESS DIR."
_NUM_EXAMPLES = 8
_KIND_NAMES = {str: "text", dict: "an object"}
# What Keras and the classes of a model raise for a file that is not theirs.
_LOADING_ERRORS = (
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_json(path: str | os.PathLike, name: str) -> dict[str, Any]:
    """A JSON object in a file of a run folder.

    Raises:
        RefusedError: If `path` is no run folder, or the file is damaged.
    """
    remote_paths.refuse("run", path, _FETCH)
    file = pathlib.Path(path) / name
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError(
            f"run: expected the folder of a finished run. Received: {path}, which has "
            f"no readable {name} ({error.strerror})."
        ) from error
    except ValueError as error:
        raise _damaged(file, error) from error
    if not isinstance(content, dict):
        raise _damaged(file, f"expected an object. Received: {content!r:.80}")
    return content


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """A run folder's `config.json`; `recipe`, `fields` and `data` are there."""
    content = read_json(path, CONFIG)
    for name, kind in (("recipe", str), ("fields", dict), ("data", dict)):
        value = content.get(name)
        if not isinstance(value, kind):
            raise _damaged(
                path / CONFIG,
                f"{name}: expected {_KIND_NAMES[kind]}. Received: {value!r:.80}",
            )
    return content


def read_info(path: pathlib.Path, values: dict[str, Any]) -> Any:
    """`DataInfo` out of the `data` of a run folder's `config.json`."""
    from kerascale import datasets

    file = path / CONFIG
    try:
        info = datasets.DataInfo.from_json(values)
        # Somebody's own tf.data may have numbers for names.
        names = tuple(map(str, info.class_names))
        problems = check(dataclasses.replace(info, class_names=names))
    except (AttributeError, TypeError, ValueError) as error:
        raise _damaged(file, f"data: {error}") from error
    if problems:
        raise _damaged(file, f"data: {'; '.join(problems)}")
    return info


def read_history(file: pathlib.Path) -> dict[str, list[float]]:
    """Metric -> one value per epoch; empty for a run of no epochs."""
    import pandas

    if not file.exists() or file.stat().st_size == 0:
        return {}
    try:
        table = pandas.read_csv(file, dtype="float64", float_precision="round_trip")
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error
    if "epoch" not in table:
        columns = ", ".join(map(str, table.columns))
        raise _damaged(file, f"expected a column epoch. Received: {columns:.80}")
    return table.drop(columns="epoch").to_dict("list")


def load_model(file: pathlib.Path, recipe_error: Exception | None = None) -> Any:
    """A `.keras` file of a run folder, looked at before anything of it is loaded.

    Args:
        file: The file.
        recipe_error: Why the recipe, whose classes the model may be made of, could
            not be imported; or None.

    Raises:
        RefusedError: If the file is missing, damaged or unsafe, or a class is unknown.
    """
    import keras

    from kerascale import datasets, models, optimizers
    from kerascale.datasets.tables import encoder, features

    del (
        datasets,
        models,
        optimizers,
        encoder,
        features,
    )  # Registers their classes with Keras.
    try:
        # Keras would fall back to reading past a checksum that does not match.
        with zipfile.ZipFile(file) as archive:
            member = archive.testzip()
    except FileNotFoundError as error:
        raise RefusedError(
            "run: expected the folder of a finished run. Received: "
            f"{file.parent}, which has no {file.name}."
        ) from error
    except Exception as error:  # Each byte of a zip fails in a way of its own.
        raise _damaged(file, error) from error
    if member is not None:
        raise _damaged(file, f"the checksum of {member} does not match")
    from kerascale.runs import presets

    presets.import_for(file)
    # The recipe has been imported by now: its classes are registered.
    refuse_unsafe_keras_file(file, registered=keras.saving.get_custom_objects())
    try:
        return keras.saving.load_model(file)
    except _LOADING_ERRORS as error:
        recipe = ""
        if recipe_error is not None:
            recipe = (
                " The recipe, whose classes it may need, cannot be loaded either: "
                f"{brief(recipe_error)}"
            )
        raise RefusedError(
            f"run: {file} cannot be loaded ({brief(error)}).{recipe}"
        ) from error


def load_vectorizer(file: pathlib.Path) -> Any:
    """The layer from strings to ids in a run folder's `vectorizer.keras`."""
    import keras

    # Imported before: it registers its class.
    from kerascale.datasets.byte_pair_layer import BytePairEncoding
    from kerascale.datasets.tables.encoder import TableEncoder

    model = load_model(file)
    vectorizer = model.layers[-1] if getattr(model, "layers", None) else model
    kinds = (keras.layers.TextVectorization, BytePairEncoding, TableEncoder)
    if not isinstance(vectorizer, kinds):
        raise _damaged(
            file,
            "expected a model that ends in a TextVectorization. Received: "
            f"{type(vectorizer).__name__}",
        )
    return vectorizer


def named_arrays(inputs: Any) -> dict[str, Any]:
    """A batch of inputs as arrays by name: a dict's own names, else `0`, `1` ..."""
    import numpy

    if isinstance(inputs, Mapping):
        named = {str(name): value for name, value in inputs.items()}
    elif isinstance(inputs, list | tuple):
        named = {str(place): value for place, value in enumerate(inputs)}
    else:
        named = {"0": inputs}
    return {name: numpy.asarray(value) for name, value in named.items()}


def write_examples(file: pathlib.Path, batch: Any) -> None:
    """Keeps a few examples of the data, with which an export is tried.

    Args:
        file: The file.
        batch: What a data set yields: x, or (x, y). Where x is anything else than
            dense tensors, nothing is written.
    """
    import numpy
    import tensorflow as tf

    inputs = batch[0] if isinstance(batch, tuple) else batch
    if not all(isinstance(tensor, tf.Tensor) for tensor in tf.nest.flatten(inputs)):
        return
    arrays = {n: array[:_NUM_EXAMPLES] for n, array in named_arrays(inputs).items()}
    numpy.savez(
        file,
        **{n: a.astype("S") if a.dtype == object else a for n, a in arrays.items()},
    )


def read_examples(file: pathlib.Path) -> dict[str, Any] | None:
    """What `write_examples` wrote; None if there is no such file.

    Raises:
        RefusedError: If the file is damaged.
    """
    import numpy

    if not file.exists():
        return None
    try:
        with numpy.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except _LOADING_ERRORS as error:
        raise _damaged(file, error) from error
    return {n: a.astype(object) if a.dtype.kind == "S" else a for n, a in found.items()}


def _damaged(file: pathlib.Path, what: str | Exception) -> RefusedError:
    reason = brief(what) if isinstance(what, Exception) else what
    return RefusedError(f"run: {file} is damaged ({reason}).")


def brief(error: Exception) -> str:
    """What an error says, without the configurations that Keras puts around it."""
    if isinstance(error, KeyError):
        return repr(error)
    text = str(error).rpartition("Exception encountered: ")[2]
    text = text.partition("Full object config:")[0].strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line if len(line) <= 300 else f"{line[:300]}..."
