"""ONNX models that compute in integers, by ONNX Runtime's own quantizers."""

import contextlib
import logging
import pathlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.compression.formats import onnx_weights
from kerascale.errors import ExportRefusedError

# Softmax, LayerNormalization and others stay float: they cost little, and what they
# give is small numbers that count.
_STATIC = ("Conv", "MatMul", "Gemm", "MaxPool", "Relu", "Add", "Mul", "Reshape")
# Not Conv: ConvInteger took 4 times as long as the float one, 40 times for 32 examples.
_DYNAMIC = ("MatMul", "Gemm", "LSTM")
_BLOCK = 32


def quantize(
    level: str,
    source: pathlib.Path,
    file: pathlib.Path,
    calibration: Sequence[Mapping[str, np.ndarray]],
) -> None:
    """Writes a float ONNX model that computes in integers.

    Args:
        level: `int8` or `int4`.
        source: The float model.
        file: The new file.
        calibration: Batches of inputs by name, for convolutions in `int8`.

    Raises:
        ExportRefusedError: If nothing in the model can be computed so.
    """
    import onnx

    operations = {node.op_type for node in onnx.load(str(source)).graph.node}
    with tempfile.TemporaryDirectory(prefix="kerascale-onnx-") as scratch, quiet():
        prepared = pathlib.Path(scratch) / "prepared.onnx"
        integers = pathlib.Path(scratch) / "integers.onnx"
        prepare(source, prepared)
        if level == "int4":
            if "MatMul" not in operations or "Conv" in operations:
                found = "convolutions" if "Conv" in operations else "no matrix product"
                raise ExportRefusedError(
                    "expected a model of matrix products, which alone ONNX Runtime "
                    f"computes with int4 weights. Received: {found}"
                )
            _int4(prepared, integers)
        elif "Conv" in operations:
            _static(prepared, integers, calibration)
        else:
            _dynamic(prepared, integers)
        # What is left in float32, such as embeddings, is looked up and not computed.
        onnx_weights.store("int8-weights", integers, file)


def prepare(source: pathlib.Path, file: pathlib.Path) -> None:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Symbolic shapes take one more library, and change none of these models.
    quant_pre_process(str(source), str(file), skip_symbolic_shape=True)


def _static(
    source: pathlib.Path,
    file: pathlib.Path,
    calibration: Sequence[Mapping[str, np.ndarray]],
) -> None:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter(calibration)

        def get_next(self) -> Any:
            batch = next(self._batches, None)
            return None if batch is None else dict(batch)

    quantization.quantize_static(
        str(source),
        str(file),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=list(_STATIC),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )


def _dynamic(source: pathlib.Path, file: pathlib.Path) -> None:
    """Ranges of activations are those of each request: nothing is calibrated."""
    from onnxruntime import quantization

    quantization.quantize_dynamic(
        str(source),
        str(file),
        op_types_to_quantize=list(_DYNAMIC),
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
    )


def _int4(source: pathlib.Path, file: pathlib.Path) -> None:
    import onnx
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    config = nbits.DefaultWeightOnlyQuantConfig(
        block_size=_BLOCK, is_symmetric=True, accuracy_level=4, bits=4
    )
    work = nbits.MatMulNBitsQuantizer(onnx.load(str(source)), algo_config=config)
    work.process()
    work.model.save_model_to_file(str(file), False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
