"""Explains answers of a run in each way that applies, and measures each of them."""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerascale.errors import RefusedError
from kerascale.reporting import examples as shown
from kerascale.runs.run import Run, load_run
from kerascale.runtime import extras
from kerascale.runtime.console import say
from kerascale.trust.explanation import (
    choosing,
    curves,
    gradients,
    local_fit,
    occlusion,
    randomized,
    reading,
    rollout,
)
from kerascale.trust.explanation.choosing import Chosen
from kerascale.trust.explanation.result import TITLES, Explanation, Method, Shown
from kerascale.trust.explanation.shapley import ShapProcess
from kerascale.trust.explanation.subject import Subject

SPLITS = ("test", "validation", "train")
WHICH = ("spread", "mistakes")
# Of these many examples each is explained again, after everything was forgotten.
_FORGOTTEN = 5
# An answer that the baseline gets, too: probabilities, or deviations of the target.
_ALIKE = 0.05


def explain(
    run: Run | str | os.PathLike,
    *,
    examples: int = 20,
    split: str | None = None,
    which: str = "spread",
    methods: Sequence[str] = (),
    target: str | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Explanation:
    """Why a run's model answers as it does, and which explanation is worth anything.

    Args:
        run: A finished run, or its folder.
        examples: How many examples are explained, at most.
        split: Of which split; None: the one that the run was evaluated on.
        which: `spread`: from the whole split; `mistakes`: those that the model got most
            wrong.
        methods: `integrated-gradients`, `shap`, `lime` (texts and tables), `occlusion`
            (pictures), `attention-rollout` (Transformers). Empty: all that apply.
        target: The class, label or target that is explained; None: what the model
            answers, of several labels the likeliest, of several targets the first.
        steps: Of integrated gradients; None: as many as make its error small.
        seed: Of all that is drawn.

    Returns:
        The explanations. `write()` makes the page; `method("shap").values` has the
        attributions, of shape (examples, parts).

    Raises:
        RefusedError: If something cannot be explained so, all of it at once.

    Example:

    ```python
    print(ks.explain("runs/cnn/1").text())
    ```
    """
    began = time.monotonic()
    problems = _problems(examples, split, which, methods, steps)
    if problems:
        raise RefusedError(problems, heading="explain")
    wanted = tuple(methods) or tuple(TITLES)
    extras.refuse_without(
        "explain", "explain", [name for name in ("shap", "lime") if name in wanted]
    )
    with contextlib.ExitStack() as stack:
        shap = None
        if "shap" in wanted:
            shap = stack.enter_context(ShapProcess())
        if not isinstance(run, Run):
            run = load_run(run)
        split = split or run.metrics.get("split") or "train"
        chosen = choosing.choose(run, split, examples, which, target)
        subject = reading.subject_of(chosen)
        left_out = {
            name: why
            for name, why in _inapplicable(chosen, subject).items()
            if name in wanted
        }
        if methods and left_out:
            raise RefusedError(
                [f"--methods: {name}: {why}" for name, why in left_out.items()],
                heading="explain",
            )
        ways = {
            "integrated-gradients": lambda of, _: gradients.integrate(of, steps=steps),
            "shap": lambda of, _: shap.values(of, seed=seed),
            "lime": lambda of, background: local_fit.fit(
                of, seed=seed, training=background
            ),
            "occlusion": lambda of, _: occlusion.occlude(of),
            "attention-rollout": lambda of, _: rollout.roll_out(of),
        }
        chance = curves.by_chance(subject, seed=seed)
        found = []
        for name in wanted:
            if name not in left_out:
                say(f"explain: {TITLES[name]} of {len(subject)} examples")
                found.append(_measured(name, ways[name], chosen, subject, chance, seed))
    return Explanation(
        path=pathlib.Path(run.path),
        split=split,
        is_regression=subject.is_regression,
        baseline=_baseline(run),
        part=_part(run),
        examples=_shown(chosen, subject),
        methods=tuple(sorted(found, key=lambda method: -method.gain[0])),
        chance=chance,
        left_out=left_out,
        parts=subject.parts,
        seconds=time.monotonic() - began,
    )


def _problems(
    examples: int,
    split: str | None,
    which: str,
    methods: Sequence[str],
    steps: int | None,
) -> list[str]:
    problems = []
    if not isinstance(examples, int) or examples < 1:
        problems.append(f"--examples: expected at least 1. Received: {examples!r}.")
    if split is not None and split not in SPLITS:
        problems.append(
            f"--split: expected one of {', '.join(SPLITS)}. Received: {split!r}."
        )
    if which not in WHICH:
        problems.append(
            f"--which: expected one of {', '.join(WHICH)}. Received: {which!r}."
        )
    unknown = [name for name in methods if name not in TITLES]
    if unknown:
        problems.append(
            f"--methods: expected some of {', '.join(TITLES)}. Received: "
            f"{', '.join(map(repr, unknown))}."
        )
    if steps is not None and steps < 1:
        problems.append(f"--steps: expected at least 1. Received: {steps}.")
    return problems


def _inapplicable(chosen: Chosen, subject: Subject) -> dict[str, str]:
    """Method -> why it does not apply."""
    is_picture = subject.parts.number_of.ndim == 2
    found = {}
    if is_picture:
        found["lime"] = "it is for texts and tables here; pictures have occlusion"
    else:
        found["occlusion"] = "it is for pictures"
    if not rollout.applies_to(subject):
        found["attention-rollout"] = (
            "it is for kerascale.models.Transformer, not for "
            f"{type(chosen.run.model).__name__}"
        )
    return found


Way = Callable[[Subject, Any], Any]


def _measured(
    name: str,
    way: Way,
    chosen: Chosen,
    subject: Subject,
    chance: curves.Curves,
    seed: int,
) -> Method:
    began = time.monotonic()
    steps, error = None, None
    background = reading.training_embedded(chosen) if name == "lime" else None
    values = way(subject, background)
    if isinstance(values, gradients.Integrated):
        steps, error, values = values.steps, values.relative_error, values.values
    elif name == "shap":
        error = _completeness_error(subject, values)
    own = curves.measure(subject, values)
    return Method(
        name=name,
        values=values,
        curves=own,
        gain=curves.better_by(own, chance, seed=seed),
        likeness=_likeness(name, way, chosen, values, seed),
        completeness_error=error,
        steps=steps,
        seconds=time.monotonic() - began,
    )


def _completeness_error(subject: Subject, values: np.ndarray) -> float:
    wanted = subject.full - subject.empty
    size = np.abs(wanted).mean()
    errors = np.abs(values.sum(axis=1) - wanted)
    return float(errors.mean() / size) if size else 0.0


def _likeness(
    name: str, way: Way, chosen: Chosen, values: np.ndarray, seed: int
) -> float:
    """How alike the explanations are of a model that has forgotten everything."""
    few = choosing.first(chosen, _FORGOTTEN)
    with randomized.forgotten(chosen.run.model, seed=seed):
        subject = reading.subject_of(few)
        background = reading.training_embedded(few) if name == "lime" else None
        again = way(subject, background)
    if isinstance(again, gradients.Integrated):
        again = again.values
    width = again.shape[1]
    return randomized.likeness(subject, values[: len(subject), :width], again)


def _baseline(run: Run) -> str:
    return {
        "text": "the unknown word in each place",
        "table": "the mean of the training examples, feature by feature",
        "image": "a picture in the mean colour of the training examples",
    }.get(run.info.kind, "the mean of the training examples")


def _part(run: Run) -> str:
    if run.info.kind == "image":
        return "pixel"
    if run.info.kind == "text":
        return "word"
    return "step" if len(run.info.input_shape) == 2 else "column"


def _shown(chosen: Chosen, subject: Subject) -> tuple[Shown, ...]:
    info = chosen.run.info
    is_picture = shown.is_picture(info.input_shape)
    low, high = float(chosen.inputs.min()), float(chosen.inputs.max())
    vocabulary = None
    if info.kind == "text":
        vocabulary = chosen.run.vectorizer.get_vocabulary()
    found = []
    for place in range(len(subject)):
        x = chosen.inputs[place]
        names = subject.parts.names
        if vocabulary is not None:
            ids = x[: subject.parts.count]
            names = tuple(vocabulary[i] if i else "" for i in ids.tolist())
        found.append(
            Shown(
                number=int(chosen.numbers[place]),
                explained=chosen.answers[place],
                true=chosen.truths[place],
                value=float(subject.full[place]),
                baseline=float(subject.empty[place]),
                picture=shown.as_picture(x, low, high) if is_picture else None,
                text=chosen.texts[place],
                names=names,
                there=subject.valid[place],
                is_like_baseline=bool(
                    abs(subject.full[place] - subject.empty[place])
                    < _ALIKE * subject.scale
                ),
            )
        )
    return tuple(found)
