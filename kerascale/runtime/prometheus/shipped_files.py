"""Alert rules, a dashboard and a configuration, for Prometheus and Grafana."""

import importlib.resources
import os
import pathlib
import re

from kerascale.errors import RefusedError

ALERTS = "alerts.yml"
DASHBOARD = "dashboard.json"
CONFIGURATION = "prometheus.yml"
NAMES = (ALERTS, DASHBOARD, CONFIGURATION)

# A host's name or address, IPv6 in brackets, and a port: nothing that YAML would read
# as anything but a text.
_TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


def contents(target: str) -> dict[str, str]:
    """Each file, as it is to be written.

    Args:
        target: The `host:port` at which a run is read.
    """
    folder = importlib.resources.files("kerascale.runtime.prometheus") / "shipped"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in NAMES}
    texts[CONFIGURATION] = texts[CONFIGURATION].replace("TARGET", target)
    return texts


def write(folder: str | os.PathLike, target: str, *, force: bool = False) -> list[str]:
    """Writes all files into a folder, which is made if it is not there.

    Args:
        folder: Where to.
        target: The `host:port` at which a run is read.
        force: Whether files that say something else are written over.

    Returns:
        The names of the files.

    Raises:
        RefusedError: If a file is there and says something else, the folder is none,
            or the target is none. Nothing was written then.
    """
    folder = pathlib.Path(folder)
    texts = contents(target)
    problems = []
    match = _TARGET.fullmatch(target)
    if match is None or not 0 < int(match[2]) < 2**16:
        problems.append(
            "--target: expected host:port, such as 127.0.0.1:9464. Received: "
            f"{target!r:.100}"
        )
    found = [] if force else [n for n, t in texts.items() if _differs(folder / n, t)]
    if found:
        problems.append(
            f"--write: expected a folder without {', '.join(found)}, or with the same "
            f"content. Received: {folder}, where they say something else. Name another "
            "folder, or pass --force to write over them"
        )
    try:
        if not problems:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problems.append(
            "--write: expected a folder, or a name that can be made one. Received: "
            f"{folder} ({error.strerror})"
        )
    if problems:
        raise RefusedError(problems, heading="monitoring")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(texts)


def _differs(path: pathlib.Path, text: str) -> bool:
    if not path.exists():
        return False
    return not path.is_file() or path.read_bytes() != text.encode()
