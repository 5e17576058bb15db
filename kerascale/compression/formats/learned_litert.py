"""LiteRT models of true integers, with the ranges that training has learned.

AI Edge Quantizer writes them, as it does after training; it is given the ranges in
place of those that it would calibrate.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerascale.compression.formats import learned_tensors, litert
from kerascale.compression.formats.learned_tensors import Learned

# Those that have a kernel, and those that give the numbers that they are given.
_COMPUTING = ("FULLY_CONNECTED", "CONV_2D")
_PASSING = ("MAX_POOL_2D", "RESHAPE")


def quantize(source: pathlib.Path, file: pathlib.Path, learned: Learned) -> None:
    """Writes a float LiteRT model in integers.

    Args:
        source: The float model, whose weights are on their grids.
        file: The new file.
        learned: What training has learned.

    Raises:
        ExportRefusedError: If some of it has no place in the model.
    """
    from ai_edge_quantizer import quantizer

    ranges = learned_tensors.find(learned, _tensors(source, learned))
    with litert.quiet():
        work = quantizer.Quantizer(str(source))
        chosen, kernels = _choose(work, source, ranges)
        learned_tensors.refuse_floats(learned, kernels)
        found = work.calibrate(
            {litert.SIGNATURE: [dict(learned.inputs)]}, num_threads=1
        )
        for name, limits in chosen.items():
            shape = np.shape(found[name]["min"])
            found[name] = {
                "min": np.full(shape, limits[0], np.float32),
                "max": np.full(shape, limits[1], np.float32),
            }
        work.quantize(found).export_model(str(file), overwrite=True)


def _choose(
    work: Any, source: pathlib.Path, ranges: dict[str, tuple[float, float]]
) -> tuple[dict[str, tuple[float, float]], int]:
    """Says which operations are quantized.

    Returns:
        The ranges of their tensors, and how many of them compute.
    """
    from ai_edge_quantizer import qtyping

    chosen: dict[str, tuple[float, float]] = {}
    ranges, kernels = dict(ranges), 0
    for kind, inputs, outputs in _operations(source):
        if kind not in (*_COMPUTING, *_PASSING):
            continue
        if kind in _PASSING and inputs[0] in ranges:
            ranges.setdefault(outputs[0], ranges[inputs[0]])
        if inputs[0] not in ranges or outputs[0] not in ranges:
            continue
        kernels += kind in _COMPUTING
        chosen |= {name: ranges[name] for name in (inputs[0], outputs[0])}
        work.add_static_config(
            f"^{re.escape(outputs[0])};$",
            qtyping.TFLOperationName[kind],
            activation_num_bits=8,
            weight_num_bits=8,
        )
    return chosen, kernels


def _operations(source: pathlib.Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """(kind, names of inputs, names of outputs) of the model's operations."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as tools

    model = tools.read_model(str(source))
    graph = model.subgraphs[0]
    for operation in graph.operators:
        code = model.operatorCodes[operation.opcodeIndex].builtinCode
        known = tools.TFL_OP_CODE_TO_NAME.get(code)
        names = [
            [tools.get_tensor_name(graph.tensors[i]) for i in indices if i != -1]
            for indices in (operation.inputs, operation.outputs)
        ]
        yield ("" if known is None else known.name), *names


def _tensors(source: pathlib.Path, learned: Learned) -> dict[str, np.ndarray]:
    """Name -> value of each float tensor for the examples."""
    from ai_edge_litert import interpreter as runtime

    model = runtime.Interpreter(
        model_path=str(source),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=(
            runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    signature = model.get_signature_runner(litert.SIGNATURE)
    signature(**learned.inputs)
    found = {}
    for detail in model.get_tensor_details():
        if detail["dtype"] != np.float32:
            continue
        try:
            found[detail["name"]] = model.get_tensor(detail["index"])
        except ValueError:  # It is nowhere in memory.
            continue
    return found
