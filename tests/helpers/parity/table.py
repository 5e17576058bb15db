"""The table of a run: features by strategies, as Markdown."""

from registry import COLUMNS

_COLUMNS = {
    "mirrored:2": "2 devices",
    "mirrored:4": "4 devices",
    "workers:2": "2 workers",
    "workers:3": "3 workers",
    "one:loop": "a loop",
    "one:one_program": "one program",
    "one:split": "split",
}


class Table:
    """The largest relative difference of each feature under each strategy."""

    def __init__(self):
        self._cells = {}

    def add(self, precision, feature, strategy, text):
        self._cells.setdefault(precision, {}).setdefault(feature, {})[strategy] = text

    def markdown(self):
        """Lines; a table for each precision."""
        lines = []
        for precision, rows in self._cells.items():
            heads = [_COLUMNS[strategy] for strategy in COLUMNS]
            lines += [f"| {precision} | " + " | ".join(heads) + " |"]
            lines += ["| :-- |" + " --: |" * len(COLUMNS)]
            for feature, cells in rows.items():
                texts = [cells.get(strategy, "") for strategy in COLUMNS]
                lines.append(f"| {feature} | " + " | ".join(texts) + " |")
            lines.append("")
        return lines
