"""What only the model and the data of a run can tell, or why they cannot."""

import dataclasses

from kerascale.errors import RefusedError
from kerascale.reporting import mistakes, model_summary
from kerascale.reporting.mistakes import HardText, Mistake
from kerascale.reporting.model_summary import ModelSummary
from kerascale.reporting.run_record import Recorded
from kerascale.runs.run import load_run


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found by loading a run's model and reading its data.

    Args:
        model: What the model is made of; None: there is none yet.
        mistakes: The worst of a classifier; None: see `missing`.
        hard_texts: Those of a language model; None: see `missing`.
        missing: Why there are neither mistakes nor texts; None: there are.
    """

    model: ModelSummary | None = None
    mistakes: list[Mistake] | None = None
    hard_texts: list[HardText] | None = None
    missing: str | None = None


def find(recorded: Recorded) -> Findings:
    """Loads the model of a run, and looks at its mistakes.

    Where the data is gone or has changed, the rest is still found, and `missing` says
    what the matter is.

    Raises:
        RefusedError: If the run's model cannot be loaded.
    """
    if recorded.evaluation is None:
        return Findings(missing="The run has not finished: there is no model yet.")
    run = load_run(recorded.path)
    model = model_summary.summarize(run.model)
    split = recorded.evaluation.get("split")
    if split is None:
        return Findings(model, missing="The data has no held-out examples.")
    if run.info.target_names:
        return Findings(model, missing="The answers are no classes: see the figures.")
    if not run.info.class_names and run.info.kind != "corpus":
        return Findings(model, missing="The data has no class names.")
    try:
        datasets, source = mistakes.open_split(run, split)
    except RefusedError as error:
        return Findings(model, missing=str(error))
    if run.info.kind == "corpus":
        return Findings(model, hard_texts=mistakes.hardest(run, source))
    return Findings(model, mistakes=mistakes.worst(run, datasets, source, split))
