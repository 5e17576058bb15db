"""The packages behind each runtime; they come with an extra."""

import importlib.util
from collections.abc import Sequence

from kerascale.errors import RefusedError

# Runtime -> modules beside TensorFlow that its rungs take.
_MODULES = {
    "litert": ("ai_edge_litert", "ai_edge_quantizer"),
    "onnx": ("onnx", "onnx_ir", "onnxruntime", "tf2onnx"),
    "tensorflow": (),
}
INSTALL = "Run: pip install 'kerascale[compress]'"


def missing(runtime: str) -> list[str]:
    """The modules of a runtime that are not installed."""
    return [m for m in _MODULES[runtime] if importlib.util.find_spec(m) is None]


def installed(runtimes: Sequence[str], levels: Sequence[str]) -> list[str]:
    """The runtimes to build for: those that were named, else those that are there.

    Args:
        runtimes: Those that the user named; or empty.
        levels: Those that the user named; or empty.

    Raises:
        RefusedError: If one that was named is not installed, or a level that was named
            needs one that is not; with what to install.
    """
    problems = [
        f"--runtimes {name}: expected the modules {', '.join(_MODULES[name])}. "
        f"Received: no {', '.join(missing(name))}. {INSTALL}"
        for name in runtimes
        if missing(name)
    ]
    there = [name for name in runtimes or _MODULES if not missing(name)]
    for level in levels:
        if level in ("int8", "int4") and there == ["tensorflow"] and not runtimes:
            problems.append(
                f"--to {level}: expected LiteRT or ONNX Runtime, which TensorFlow "
                f"stands in for with no such kernels. Received: neither. {INSTALL}"
            )
    if problems:
        raise RefusedError(problems, heading="compress")
    return there
