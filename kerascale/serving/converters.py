"""From a SavedModel to other formats."""

import contextlib
import io
import pathlib
import re
from collections.abc import Iterator, Mapping
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
    from tf2onnx import tf_loader

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
            _write_onnx(graph, inputs, outputs, names, file)
        except Exception as error:  # Each operation fails in a way of its own.
            raise _refused("ONNX", error) from error


def function_to_onnx(function: Any, file: pathlib.Path) -> None:
    """Writes a function as an ONNX model: a SavedModel of it takes as long again.

    Args:
        function: A `tf.function` with an input signature, which looks nothing up in
            tables.
        file: The new file.

    Raises:
        ExportRefusedError: If an operation of it cannot be converted.
    """
    from tf2onnx import tf_loader

    concrete = function.get_concrete_function()
    captured = concrete.captured_inputs
    given = concrete.inputs[: len(concrete.inputs) - len(captured)]
    inside = zip(concrete.inputs[len(given) :], captured, strict=True)
    constants = {
        tensor.op.name: value for tensor, value in inside if tensor.dtype != tf.resource
    }
    inputs = [tensor.name for tensor in given]
    outputs = [tensor.name for tensor in concrete.outputs]
    # `structured_outputs` and `outputs` are flattened in one order: by the name.
    names = dict(zip(outputs, sorted(concrete.structured_outputs), strict=True))
    specs = function.input_signature
    names |= {name: spec.name for name, spec in zip(inputs, specs, strict=True)}
    with _quiet():
        try:
            graph = tf_loader.from_function(
                concrete, [*inputs, *(f"{name}:0" for name in constants)], outputs
            )
            _fill_in(graph, constants)
            _write_onnx(graph, inputs, outputs, names, file)
        except Exception as error:  # Each operation fails in a way of its own.
            raise _refused("ONNX", error) from error


def _fill_in(graph: Any, constants: Mapping[str, tf.Tensor]) -> None:
    """Makes constants of placeholders: tensors that a layer holds are no variables."""
    for node in graph.node:
        if node.name in constants:
            value = tf.make_tensor_proto(constants[node.name].numpy())
            node.op = "Const"
            node.ClearField("attr")
            node.attr["dtype"].type = value.dtype
            node.attr["value"].tensor.CopyFrom(value)


def _write_onnx(
    graph: Any,
    inputs: list[str],
    outputs: list[str],
    names: Mapping[str, str],
    file: pathlib.Path,
) -> None:
    """Converts a graph of constants, whose inputs and outputs get other names."""
    from tf2onnx import convert

    convert.from_graph_def(
        graph,
        input_names=inputs,
        output_names=outputs,
        tensors_to_rename=names,
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
        output_path=str(file),
    )


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
