"""From a SavedModel to other formats."""

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.errors import ExportRefusedError
from kerascale.runtime import garbage

# The newest that tf2onnx writes.
_OPSET = 18
_LAST_LINES = 6
_PLACE = re.compile(r"^.*?error: (loc\(.*\): )?")


def to_onnx(saved_model: pathlib.Path, file: pathlib.Path) -> None:
    """Writes the signature `serving_default` as an ONNX model.

    Raises:
        ExportRefusedError: If an operation of it cannot be converted.
    """
    from tf2onnx import convert, tf_loader

    with _quiet():
        graph, inputs, outputs, names = tf_loader.from_saved_model(
            str(saved_model),
            None,
            None,
            tag="serve",
            signatures=["serving_default"],
            return_tensors_to_rename=True,
        )
        try:
            convert.from_graph_def(
                graph,
                input_names=inputs,
                output_names=outputs,
                tensors_to_rename=names,
                opset=_OPSET,
                custom_op_handlers={"Erfc": (_erfc, [])},
                output_path=str(file),
            )
        except Exception as error:  # Each operation fails in a way of its own.
            raise _refused("ONNX", error) from error


def _erfc(context: Any, node: Any, name: str, arguments: Any) -> None:
    """1 - erf(x): what gelu is made of, and what tf2onnx does not know."""
    from tf2onnx import utils

    shape, dtype = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    inputs, outputs = list(node.input), list(node.output)
    one = np.array(1, utils.map_onnx_to_numpy_type(dtype))
    constant = context.make_const(utils.make_name("one"), one)
    context.remove_node(node.name)
    erf = context.make_node("Erf", inputs, shapes=[shape], dtypes=[dtype])
    context.make_node(
        "Sub",
        [constant.output[0], erf.output[0]],
        name=node.name,
        outputs=outputs,
        shapes=[shape],
        dtypes=[dtype],
    )


def to_litert(saved_model: pathlib.Path, file: pathlib.Path) -> None:
    """Writes the signature `serving_default` as a LiteRT model of built-in operations.

    Raises:
        ExportRefusedError: If an operation of it cannot be converted.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=["serving_default"]
    )
    try:
        # The converter collects garbage once: of all that a process has that is more
        # than half of the time of converting a small model.
        with _quiet(), garbage.only_of_new_objects():
            content = converter.convert()
    except Exception as error:  # Each operation fails in a way of its own.
        raise _refused("LiteRT", error) from error
    file.write_bytes(content)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the converters' notes off the terminal; their errors are raised."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _refused(name: str, error: Exception) -> ExportRefusedError:
    reasons = [line for line in str(error).splitlines() if "error:" in line]
    lines = reasons or str(error).splitlines() or [type(error).__name__]
    # Behind the place in the graph, which is longer than what is wrong there.
    reasons = [_PLACE.sub("", line)[:300] for line in lines]
    shown = "\n".join(dict.fromkeys(reasons[-_LAST_LINES:]))
    return ExportRefusedError(
        f"expected operations that {name} has. Received from its converter:\n{shown}"
    )
