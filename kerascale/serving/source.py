"""What is exported: a model, what its outputs stand for, and where it comes from."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerascale.runs.files import named_arrays
from kerascale.runs.run import Run
from kerascale.runtime.console import say
from kerascale.serving import examples, provenance

# Numbers that a page draws.
_OF_THE_PAGE = ("curves", "points")


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to export, and what is known of it.

    Args:
        model: The model with its preprocessing in front.
        labels: What each place of the output's last dimension stands for; or empty.
        is_classifier: Whether the output is one probability for each label.
        examples: A batch of real inputs, an array for each input; None: none is
            known.
        metrics: The final evaluation; or empty.
        origin: Where it comes from, for the export's record.
        is_regression: Whether the output is a number for each label.
        tokenizer: What made ids of texts, as `tokenizer.json` has it; None: nothing.
    """

    model: keras.Model
    labels: tuple[str, ...] = ()
    is_classifier: bool = False
    examples: dict[str, np.ndarray] | None = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)
    is_regression: bool = False
    tokenizer: str | None = None

    @property
    def output_name(self) -> str:
        """The name of a single output."""
        return "prediction" if self.is_regression else "probabilities"


def of_run(
    run: Run, *, labels: Sequence[str] | None, inputs: Any = None, core: bool = False
) -> Subject:
    """What is exported of a run.

    Args:
        run: The run.
        labels: In place of the class names of its data.
        inputs: A batch of inputs; None: those that the run kept.
        core: Leaves the vectorisation of texts out: the model takes token ids.
    """
    if labels is None:
        is_corpus = run.info.kind == "corpus" and run.vectorizer is not None
        labels = run.info.class_names or run.info.target_names
        labels = run.vectorizer.get_vocabulary() if is_corpus else labels
    if inputs is None:
        found = examples.of_run(run, as_ids=core)
    else:
        found = named_arrays(inputs)
    if found is None:
        say(
            f"warm-up and comparison with made-up examples: {run.path} was written "
            "without examples of its data"
        )
    is_regression = run.info.task == "regression"
    return Subject(
        model=run.model if core else run.serving_model,
        labels=tuple(map(str, labels)),
        is_classifier=run.info.kind != "corpus" and bool(labels) and not is_regression,
        is_regression=is_regression,
        examples=found,
        metrics={n: v for n, v in run.metrics.items() if n not in _OF_THE_PAGE},
        origin={
            "recipe": run.recipe,
            "run": os.fspath(run.path),
            "step": _step(run.model),
            "data": {"name": run.info.name, "fingerprint": run.info.fingerprint},
            "run_files": provenance.of_run(run.path),
            "task": run.info.task,
            **({"columns": list(run.info.columns)} if run.info.columns else {}),
            "fields": run.fields,
        },
        tokenizer=getattr(run.vectorizer, "tokenizer", None),
    )


def of_model(
    model: keras.Model, *, labels: Sequence[str] | None, inputs: Any = None
) -> Subject:
    """What is exported of a model.

    Args:
        model: The model.
        labels: The name of each class, if it is a classifier.
        inputs: A batch of inputs, in the model's structure; None: they are made up.
    """
    return Subject(
        model=model,
        labels=tuple(map(str, labels or ())),
        is_classifier=bool(labels),
        examples=None if inputs is None else named_arrays(inputs),
        origin={"model": getattr(model, "name", None), "step": _step(model)},
    )


def _step(model: keras.Model) -> int | None:
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else int(optimizer.iterations.numpy())
