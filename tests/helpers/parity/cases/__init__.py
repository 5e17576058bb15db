"""Every case, by name."""

import importlib
import pathlib

from registry import CASES

for _file in sorted(pathlib.Path(__file__).parent.glob("[a-z]*.py")):
    importlib.import_module(f"cases.{_file.stem}")

__all__ = ["CASES"]
