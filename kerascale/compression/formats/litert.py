"""LiteRT models in fewer bits, by Google's quantizer for them, AI Edge Quantizer.

It takes the converted float model, so that the conversion is done once and all rungs
compute the same graph. TensorFlow's converter, which can quantize too, makes files of
the same size, takes thirty times as long, and rounds probabilities to 1/256.
"""

import contextlib
import io
import logging
import pathlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

SIGNATURE = "serving_default"
# Calibration runs the model on parts of the examples.
_BATCH = 32


def quantize(
    level: str,
    source: pathlib.Path,
    file: pathlib.Path,
    calibration: Sequence[Mapping[str, np.ndarray]],
) -> None:
    """Writes a float LiteRT model in fewer bits.

    Args:
        level: `float16`, `int8-weights`, `int8` or `int4`.
        source: The float model.
        file: The new file.
        calibration: Batches of inputs by name, for `int8`: ranges of activations are
            those that are seen on them.
    """
    from ai_edge_quantizer import quantizer

    with quiet():
        work = quantizer.Quantizer(str(source))
        _RECIPES[level](work)
        ranges = None
        if work.need_calibration:
            ranges = work.calibrate({SIGNATURE: calibration}, num_threads=1)
        work.quantize(ranges).export_model(str(file), overwrite=True)


def _float16(work: Any) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    weights = qtyping.TensorQuantizationConfig(
        num_bits=16, dtype=qtyping.TensorDataType.FLOAT
    )
    work.update_quantization_recipe(
        ".*",
        qtyping.TFLOperationName.ALL_SUPPORTED,
        qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )


def _dynamic(num_bits: int) -> Any:
    """Weights are integers; activations become int8 at each request, by its range."""

    def apply(work: Any) -> None:
        from ai_edge_quantizer import qtyping

        work.add_dynamic_config(
            ".*", qtyping.TFLOperationName.ALL_SUPPORTED, num_bits=num_bits
        )

    return apply


def _static(work: Any) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    names = qtyping.TFLOperationName
    work.add_static_config(
        ".*", names.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
    )
    # A scale, a zero point and the same again for the bias take 24 bytes a channel:
    # more than a narrow dense layer wins.
    work.add_static_config(
        ".*",
        names.FULLY_CONNECTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=qtyping.QuantGranularity.TENSORWISE,
    )
    # Clients send and read floats. Probabilities in steps of 1/256 would have no
    # logarithm where they are small.
    for name in (names.INPUT, names.OUTPUT, names.SOFTMAX):
        work.update_quantization_recipe(
            ".*", name, algorithm_key=AlgorithmName.NO_QUANTIZE
        )


_RECIPES = {
    "float16": _float16,
    "int8-weights": _dynamic(8),
    "int8": _static,
    "int4": _dynamic(4),
}


def batches(arrays: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Calibration examples in batches, by the names of the inputs."""
    count = len(next(iter(arrays.values())))
    return [
        {name: array[first : first + _BATCH] for name, array in arrays.items()}
        for first in range(0, count - count % _BATCH or count, _BATCH)
    ]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library's tables and notes off the terminal; errors are raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    output = io.StringIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It keeps tensors to calibrate: for that.
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                yield
    finally:
        logging.disable(level)
