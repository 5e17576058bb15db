"""What a check has found, and how all of it is told."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

Level = Literal["ok", "warning", "wrong"]
_ORDER: tuple[Level, ...] = ("ok", "warning", "wrong")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        check: What was looked at, in a word or two.
        level: `ok`; `warning`: training works, and not as well as it could; `wrong`:
            training will fail, or something that was asked for cannot be had.
        found: What there is.
        mend: What to do about it; empty where nothing needs mending.
        values: The numbers behind it, for programs.
    """

    check: str
    level: Level
    found: str
    mend: str = ""
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings, in the order in which they were made."""

    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst of them."""
        return max((f.level for f in self.findings), key=_ORDER.index, default="ok")

    def __bool__(self) -> bool:
        """Whether nothing is wrong."""
        return self.level != "wrong"

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    def to_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }

    def text(self) -> str:
        """A line for each finding, and below it how to mend it."""
        width = max((len(finding.check) for finding in self.findings), default=0)
        lines = []
        for finding in self.findings:
            mark = "" if finding.level == "ok" else finding.level.upper()
            lines.append(f"{mark:<7}  {finding.check:<{width}}  {finding.found}")
            if finding.mend:
                lines.append(f"{'':<7}  {'':<{width}}  -> {finding.mend}")
        counts = {
            level: sum(f.level == level for f in self.findings) for level in _ORDER
        }
        lines += [
            "",
            f"{counts['wrong']} wrong, {counts['warning']} to look at, "
            f"{counts['ok']} in order.",
        ]
        return "\n".join(lines)


def guarded(name: str, look: Callable[[], Sequence[Finding]]) -> list[Finding]:
    """Runs one check; what it raises is a finding, and no end of the others."""
    try:
        return list(look())
    except Exception as error:  # A machine can be broken in ways nobody thought of.
        return [
            Finding(
                name,
                "wrong",
                f"could not be checked: {type(error).__name__}: {error}",
                "Mend what the message names, and look again.",
            )
        ]
