"""What a model is asked for: a class, several labels, or numbers."""

from typing import Literal, get_args

Task = Literal["classification", "binary", "multilabel", "regression", "ordinal"]
AskedTask = Literal["auto", Task]
TASKS: tuple[Task, ...] = get_args(Task)
# An answer is one probability for each of several classes, which exclude each other.
OF_CLASSES: tuple[Task, ...] = ("classification", "binary", "ordinal")
