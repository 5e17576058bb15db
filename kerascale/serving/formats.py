"""The formats that a version can have, and the libraries that they need."""

import importlib.util
import os
import pathlib
from typing import Literal

from kerascale.errors import RefusedError

Name = Literal["saved_model", "onnx", "litert"]

# Format -> the file by which a version of it is known.
FILES = {
    "saved_model": "saved_model.pb",
    "onnx": "model.onnx",
    "litert": "model.tflite",
}
# Format -> what models.config calls it. TF Serving loads "tensorflow" alone.
PLATFORMS = {"saved_model": "tensorflow", "onnx": "onnx", "litert": "litert"}
# Format -> modules beside TensorFlow that it takes, which its extra brings.
_MODULES = {
    "saved_model": (),
    "onnx": ("tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
}


def refuse_missing_modules(name: str) -> None:
    """Refuses a format whose libraries are not installed.

    Raises:
        RefusedError: Naming what to install.
    """
    missing = [m for m in _MODULES[name] if importlib.util.find_spec(m) is None]
    if missing:
        raise RefusedError(
            f"--format {name}: expected the modules {', '.join(_MODULES[name])}. "
            f"Received: no {', '.join(missing)}. Run: pip install 'kerascale[{name}]'"
        )


def of_version(folder: pathlib.Path) -> str | None:
    """The format of a version; None if it is none."""
    return next((name for name, f in FILES.items() if (folder / f).exists()), None)


def refuse_other(base: str | os.PathLike, name: str) -> None:
    """Refuses a folder whose versions have another format: a server loads one.

    Raises:
        RefusedError: Naming the version.
    """
    base = pathlib.Path(base)
    for folder in base.iterdir() if base.is_dir() else ():
        found = of_version(folder) if folder.name.isdecimal() else None
        if found not in (None, name):
            raise RefusedError(
                f"destination: expected a folder for the format {name}. Received: "
                f"{base}, whose version {folder.name} is of the format {found}. Name "
                "another folder."
            )
