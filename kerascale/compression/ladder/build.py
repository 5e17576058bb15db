"""One rung: its files, as they will be served."""

import io
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping

import numpy as np

from kerascale.compression.formats import (
    learned_litert,
    learned_onnx,
    litert,
    onnx_integers,
    onnx_sparse,
    onnx_weights,
)
from kerascale.compression.formats.learned_tensors import JoinedError, Learned
from kerascale.compression.formats.rungs import FLOAT, TRAINED, Rung
from kerascale.compression.ladder import rung_folder
from kerascale.compression.ladder.subject import Compressible
from kerascale.errors import ExportRefusedError, first_line
from kerascale.serving import converters, formats, graph, record, warm_up
from kerascale.serving.classify import NAME as CLASSIFY
from kerascale.serving.saved_model import examples_of

# Examples on which tensors of a converted model are compared with the trained one.
_PROBED = 8


def build(
    what: Compressible,
    rung: Rung,
    folder: pathlib.Path,
    reference: pathlib.Path | None,
    calibration: Mapping[str, np.ndarray],
) -> None:
    """Writes a rung's files into a folder.

    Args:
        what: What is compressed.
        rung: The rung.
        folder: An empty folder.
        reference: The float rung of the same runtime; None: this is it.
        calibration: Training examples by name.

    Raises:
        ExportRefusedError: If the model cannot be converted, with the reason.
    """
    file = folder / formats.FILES[rung.format]
    if rung.runtime == "tensorflow":
        _saved_model(what, rung.level, folder)
    elif rung.level == FLOAT:
        _converted(what, rung.runtime, file)
    elif rung.level in TRAINED:
        with tempfile.TemporaryDirectory(prefix="kerascale-pruned-") as scratch:
            whole = pathlib.Path(scratch) / file.name
            _converted(what, rung.runtime, whole)
            if rung.runtime == "onnx":
                onnx_sparse.store(whole, file)
            else:  # Its format has no place for zeros that are left out.
                shutil.copyfile(whole, file)
    else:
        _quantized(what, rung, reference / file.name, file, calibration)
    subject = what.subject(rung.runtime)
    (folder / record.EXTRA).mkdir(exist_ok=True)
    record.write_labels(folder, subject.labels)
    record.write_tokenizer(folder, subject.tokenizer)


def _saved_model(what: Compressible, level: str, folder: pathlib.Path) -> None:
    functions = what.functions(level)
    graph.write(what.served.model, functions, folder)
    extra = folder / record.EXTRA
    extra.mkdir(exist_ok=True)
    arrays = examples_of(what.served, what.served_face)
    warm_up.write(
        extra / warm_up.FILE,
        arrays,
        what.served_face.specs,
        classifies=CLASSIFY in functions,
    )


def _converted(what: Compressible, runtime: str, file: pathlib.Path) -> None:
    function = graph.serving_function(what.core_face)
    if runtime == "onnx":
        converters.function_to_onnx(function, file)
        return
    with tempfile.TemporaryDirectory(prefix="kerascale-convert-") as scratch:
        saved_model = pathlib.Path(scratch) / "saved_model"
        graph.write(what.core.model, {"serving_default": function}, saved_model)
        converters.to_litert(saved_model, file)


def _as_learned(
    what: Compressible,
    rung: Rung,
    file: pathlib.Path,
    calibration: Mapping[str, np.ndarray],
) -> None:
    """In integers, with the ranges that the run has learned."""
    quantize = {"litert": learned_litert.quantize, "onnx": learned_onnx.quantize}
    few = {name: array[:_PROBED] for name, array in calibration.items()}
    (x,) = few.values()
    ranges, model = what.ranges, what.run.model

    def attempt(apart: tuple[str, ...]) -> None:
        with tempfile.TemporaryDirectory(prefix="kerascale-learned-") as scratch:
            source = pathlib.Path(scratch) / file.name
            with ranges.to_convert(model, apart):
                _converted(what, rung.runtime, source)
            seen = ranges.seen(model, x, apart)
            quantize[rung.runtime](source, file, Learned(ranges.known, seen, few))

    try:
        attempt(())
    except JoinedError as error:
        attempt(error.names)


def _quantized(
    what: Compressible,
    rung: Rung,
    source: pathlib.Path,
    file: pathlib.Path,
    calibration: Mapping[str, np.ndarray],
) -> None:
    batches = litert.batches(calibration)
    try:
        if rung.level == "int8" and what.ranges is not None:
            _as_learned(what, rung, file, calibration)
        elif rung.runtime == "litert":
            litert.quantize(rung.level, source, file, batches)
        elif rung.level in ("float16", "int8-weights"):
            onnx_weights.store(rung.level, source, file)
        else:
            onnx_integers.quantize(rung.level, source, file, batches)
    except ExportRefusedError:
        raise
    except Exception as error:  # Each library fails in a way of its own.
        raise ExportRefusedError(
            f"{rung}: expected operations that can be quantized. Received from the "
            f"quantizer: {first_line(error)[:300]}"
        ) from error


def size_of(folder: pathlib.Path) -> int:
    """Bytes of what a runtime loads; labels and warm-up requests do not count."""
    files = rung_folder.files(folder)
    sizes = {name: value["size"] for name, value in files.items()}
    return sum(n for name, n in sizes.items() if not name.startswith(record.EXTRA))


def zipped_size_of(folder: pathlib.Path) -> int:
    """The same, as they would be sent or installed: zeros take next to nothing."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in rung_folder.files(folder):
            if not name.startswith(record.EXTRA):
                archive.write(folder / name, name)
    return len(content.getvalue())


def loaded_path(rung: Rung, folder: pathlib.Path) -> pathlib.Path:
    """What the runtime loads of a rung's folder: a file, or all of a SavedModel."""
    if rung.runtime == "tensorflow":
        return folder
    return folder / formats.FILES[rung.format]
