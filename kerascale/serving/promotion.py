"""The last word before a version is visible: may it follow the one that is served?"""

import pathlib
from collections.abc import Mapping
from typing import Any

from kerascale.errors import ExportRefusedError
from kerascale.runtime.console import say
from kerascale.serving import compatibility, formats, graph, record, versions
from kerascale.serving.source import Subject


def commit(
    temporary: pathlib.Path,
    base: pathlib.Path,
    what: Subject,
    signatures: Mapping[str, Any],
    *,
    max_drop: float,
    allow_breaking: bool,
) -> pathlib.Path:
    """Compares a version with the one that is served, records it, and numbers it.

    Args:
        temporary: The version, whose answers have been compared.
        base: The folder of the versions.
        what: What was exported.
        signatures: The version's own.
        max_drop: How much worse the main metric may be.
        allow_breaking: Whether what stands against it is recorded only.

    Returns:
        The version's folder.

    Raises:
        ExportRefusedError: If it cannot take the place of the served version.
    """

    def check(served: pathlib.Path | None) -> None:
        problems = [] if served is None else _breaks(served, what, signatures, max_drop)
        if problems and not allow_breaking:
            raise ExportRefusedError(
                [
                    f"version {served.name} is served, and its clients would find "
                    "something changed. Serve the new version from another folder, or "
                    "export with --allow-breaking (allow_breaking=True)",
                    *problems,
                ]
            )
        record.write(
            temporary,
            {
                **what.origin,
                "metrics": what.metrics,
                "main_metric": compatibility.main_metric(what.metrics),
                "signatures": signatures,
                "follows": None if served is None else int(served.name),
                "breaks": problems,
            },
        )

    return versions.commit(temporary, base, check)


def _breaks(
    served: pathlib.Path,
    what: Subject,
    signatures: Mapping[str, Any],
    max_drop: float,
) -> list[str]:
    """What stands against the new version taking the place of the served one."""
    known = record.read(served)
    try:
        if formats.of_version(served) == "saved_model":
            before = graph.read_signatures(served)
        else:
            before = known["signatures"]
    except (KeyError, ValueError) as error:
        return [
            f"expected to compare with the version that is served. Received: {error}"
        ]
    metrics = known.get("metrics") or {}
    old, new = map(compatibility.main_metric, (metrics, what.metrics))
    if old != new:
        say(
            f"metrics are not compared: {old or 'none'} is known of version "
            f"{served.name}, {new or 'none'} of the new one"
        )
    return [
        *compatibility.breaks(before, signatures),
        *compatibility.changed_labels(record.read_labels(served), what.labels),
        *compatibility.drop(metrics, what.metrics, max_drop),
    ]
