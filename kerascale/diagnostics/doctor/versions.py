"""Versions: what is installed, against what kerascale was made for."""

import configparser
import importlib.metadata
import pathlib
import platform
from collections.abc import Callable

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kerascale._version import __version__
from kerascale.diagnostics.doctor.findings import Finding

# Told even where they are in order; the others only where they are not.
_TOLD = ("tensorflow", "keras")


def look(
    installed: Callable[[str], str] = importlib.metadata.version,
    python: str = platform.python_version(),
) -> list[Finding]:
    """Compares each version with the range of `setup.cfg`.

    Args:
        installed: Name of a package -> its version; raises `PackageNotFoundError`
            where there is none.
        python: Python's version.
    """
    supported, requirements = _supported()
    findings = [
        Finding("kerascale", "ok", __version__),
        _judged("python", python, supported, "Make an environment with"),
    ]
    for requirement in requirements:
        name = requirement.name
        install = f"pip install '{requirement}'"
        try:
            found = installed(name)
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, "wrong", "not installed", f"{install}."))
            continue
        finding = _judged(name, found, requirement.specifier, f"{install}:")
        if finding.level != "ok" or name in _TOLD:
            findings.append(finding)
    return findings


def _judged(name: str, found: str, supported: SpecifierSet, mend: str) -> Finding:
    values = {"version": found, "supported": str(supported)}
    text = f"{found} (supported: {supported or 'any'})"
    try:
        is_in = supported.contains(Version(found), prereleases=True)
    except InvalidVersion:
        return Finding(name, "warning", f"{text}: no version number", "", values)
    if is_in:
        return Finding(name, "ok", text, "", values)
    way_out = f"{mend} {name} {supported}; kerascale was tested with no other."
    return Finding(name, "wrong", text, way_out, values)


def _supported() -> tuple[SpecifierSet, list[Requirement]]:
    """The range of Python, and what is required beside it."""
    setup = pathlib.Path(__file__).resolve().parents[3] / "setup.cfg"
    if setup.is_file():  # A checkout: what was installed once may be older.
        options = configparser.ConfigParser()
        options.read(setup, encoding="utf-8")
        python = options["options"]["python_requires"]
        lines = options["options"]["install_requires"].splitlines()
        texts = [line for line in lines if line and not line.startswith("#")]
    else:
        metadata = importlib.metadata.metadata("kerascale")
        python = metadata["Requires-Python"] or ""
        texts = importlib.metadata.requires("kerascale") or []
    requirements = [Requirement(text) for text in texts]
    return SpecifierSet(python), [
        r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})
    ]
