"""The table of a run: features by strategies, as Markdown. A plugin of pytest.

Cells travel with the reports of their tests: from the processes of pytest-xdist too.
"""

from registry import COLUMNS

# Of a report's properties.
PROPERTY = "parity"

_COLUMNS = {
    "mirrored:2": "2 devices",
    "mirrored:4": "4 devices",
    "workers:2": "2 workers",
    "workers:3": "3 workers",
    "one:loop": "a loop",
    "one:one_program": "one program",
    "one:split": "split",
    "mirrored:2+loop": "2 devices, a loop",
    "mirrored:2+compiled": "2 devices, compiled",
    "mirrored:2+one_program": "2 devices as one, one program",
    "mirrored:2+split": "2 devices as one, split",
    "shared:2+loop": "2 workers, a loop",
    "shared:2+compiled": "2 workers, compiled",
    "shared:2+shares": "2 workers, compiled, an update in parts",
    "mirrored:2+as_one": "2 devices as one, a loop",
    "mirrored:4+loop": "4 devices, a loop",
    "mirrored:4+compiled": "4 devices, compiled",
    "workers:2+loop": "2 workers over TensorFlow, a loop",
    "workers:2+compiled": "2 workers over TensorFlow, compiled",
    "shared:3+loop": "3 workers, a loop",
    "shared:3+compiled": "3 workers, compiled",
}


def pytest_terminal_summary(terminalreporter):
    reports = [r for many in terminalreporter.stats.values() for r in many]
    lines = markdown(cells_of(reports))
    if lines:
        terminalreporter.section("largest relative differences from one device")
        for line in lines:
            terminalreporter.write_line(line)


def cells_of(reports):
    """(precision, feature, column) -> text, of what the reports tell."""
    cells = {}
    for report in reports:
        if getattr(report, "when", "") != "call":
            continue
        for name, value in report.user_properties:
            if name == PROPERTY:
                precision, feature, column, text = value
                cells[precision, feature, column] = text or "**failed**"
    return cells


def markdown(cells):
    """Lines; a table for each precision."""
    precisions = {}
    for (precision, feature, column), text in cells.items():
        precisions.setdefault(precision, {}).setdefault(feature, {})[column] = text
    lines = []
    for precision, rows in precisions.items():
        heads = [_COLUMNS[column] for column in COLUMNS]
        lines += [f"| {precision} | " + " | ".join(heads) + " |"]
        lines += ["| :-- |" + " --: |" * len(COLUMNS)]
        for feature, row in rows.items():
            texts = [row.get(column, "") for column in COLUMNS]
            lines.append(f"| {feature} | " + " | ".join(texts) + " |")
        lines.append("")
    return lines
