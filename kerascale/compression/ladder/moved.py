"""The examples of a regression whose answer a rung moves furthest."""

import dataclasses

import numpy as np

from kerascale.compression.ladder import changed
from kerascale.compression.ladder.changed import Change
from kerascale.compression.ladder.examples import Examples
from kerascale.compression.measuring import number_scores
from kerascale.compression.measuring.scores import Answers
from kerascale.runs.run import Run


@dataclasses.dataclass(frozen=True)
class Moved(Change):
    """One answer that is further away than what counts as the same.

    Args:
        error_before: How far the trained model's answer is from what is right.
        error_now: How far that of the rung is.
    """

    error_before: float = 0.0
    error_now: float = 0.0

    @property
    def what(self) -> str:
        """Whether the change is for the worse."""
        return "further off" if self.error_now > self.error_before else "nearer"


def find(run: Run, data: Examples, answers: Answers) -> list[Change]:
    """The changes, the largest first; of an example the target that moved furthest.

    Args:
        run: The run.
        data: The examples.
        answers: Of a rung.
    """
    before, now, info = data.original.predicted, answers.predicted, run.info
    moves = number_scores.changes(now, before, info)
    targets, largest = moves.argmax(axis=1), moves.max(axis=1)
    order = np.argsort(-largest, kind="stable")[: changed.SHOWN]
    ((_, file),) = data.inputs.items()
    show = changed.showing(run, data, np.load(file, "r"))
    found: list[Change] = []
    for row in map(int, order[largest[order] >= number_scores.SAME]):
        place = (row, int(targets[row]))
        numbers = [float(each[place]) for each in (data.labels, before, now)]
        name = f"{info.target_names[place[1]]}: " if len(info.target_names) > 1 else ""
        texts = [f"{name}{number:.6g}" for number in numbers]
        errors = [abs(number - numbers[0]) for number in numbers[1:]]
        found.append(Moved(row, *texts, None, None, *show((row,)), *errors))
    return found
