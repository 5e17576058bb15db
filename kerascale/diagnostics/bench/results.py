"""What was measured of each workload, as JSON has it and as people read it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerascale.diagnostics.bench.workloads import Workload
from kerascale.runtime.console import duration


@dataclasses.dataclass(frozen=True)
class Result:
    """What a workload's process has left.

    Args:
        workload: What was trained.
        values: Name -> value, of what it came to.
        failure: Why it came no further; empty: it has ended as it should.
    """

    workload: Workload
    values: Mapping[str, Any]
    failure: str = ""

    def to_dict(self) -> dict[str, Any]:
        workload = self.workload
        facts = {
            "title": workload.title,
            "item": workload.item,
            "batch_size": workload.batch_size,
            "first_steps": workload.first_steps,
            "flops_per_step": workload.flops_per_step,
        }
        failed = {"failed": self.failure} if self.failure else {}
        return {**facts, **self.values, **failed}

    def cells(self) -> list[str]:
        """The columns of its row."""
        workload, values = self.workload, self.values
        memory = values["peak_memory_bytes"] / 2**30
        gflops = values["flops_per_second"] / 1e9
        share = values["share_of_peak"] * 100
        whose = f" of {values['peak_of']}" if values.get("peak_of") else ""
        return [
            f"{values['items_per_second']:,.0f} {workload.item}/s",
            f"{values['step_seconds'] * 1000:.3g} ms a step",
            values["execution"]["said"],
            f"{gflops:,.3g} GFLOP/s, {share:.2g} % of the peak{whose}",
            f"first {workload.first_steps} steps {duration(values['first_seconds'])}",
            f"peak memory {memory:.1f} GiB",
        ]


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of all workloads, in the order in which they were asked for."""

    results: tuple[Result, ...]

    def __bool__(self) -> bool:
        """Whether none has failed."""
        return not any(result.failure for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        return {"workloads": {r.workload.letter: r.to_dict() for r in self.results}}

    def text(self) -> str:
        """A row for each workload."""
        rows = [[] if r.failure else r.cells() for r in self.results]
        widths = [
            max(map(len, column))
            for column in zip(*(row for row in rows if row), strict=True)
        ]
        title = max(len(result.workload.title) for result in self.results)
        lines = []
        for result, row in zip(self.results, rows, strict=True):
            workload = result.workload
            cells = [f"{workload.letter}  {workload.title:<{title}}"]
            if result.failure:
                cells.append(f"FAILED: {result.failure}")
            for place, cell in enumerate(row):
                # What begins with a number ends below the others.
                side = ">" if cell[0].isdigit() else "<"
                cells.append(f"{cell:{side}{widths[place]}}")
            lines.append("   ".join(cells).rstrip())
        return "\n".join(lines)
