"""`attack`: what a run's answers withstand, and whether that can be believed."""

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import DataInfo
from kerascale.errors import RefusedError
from kerascale.reporting import mistakes
from kerascale.runs.run import Run, load_run
from kerascale.runtime.console import say
from kerascale.trust.attacks import (
    losses,
    masking,
    pgd,
    square,
    surrogate,
    units,
    uphill,
)
from kerascale.trust.attacks.ball import Ball, Norm
from kerascale.trust.attacks.masking import Evidence
from kerascale.trust.attacks.pgd import Found
from kerascale.trust.attacks.result import AttackResult, Example, Point
from kerascale.trust.attacks.units import Units

# Where none are named: in pixels from 0 to 1, or in standard deviations.
EPSILONS = {"inf": (0.01, 0.03, 0.1, 0.3), "2": (0.25, 0.5, 1.0, 2.0)}
_PICTURES = 8
_BATCH = 250


def attack(
    run: Run | str | os.PathLike,
    *,
    norm: Norm = "inf",
    epsilons: Sequence[float] = (),
    steps: int = 40,
    restarts: int = 5,
    examples: int = 1000,
    queries: int = 300,
    transfer_from: Run | str | os.PathLike | None = None,
    seed: int = 0,
) -> AttackResult:
    """Changes held-out examples within a limit, so that a run answers them wrongly.

    FGSM and PGD with restarts go uphill along the loss. Whether they fail because the
    model is robust, or because its gradient shows nothing, is seen by attacks that do
    not need it: examples made against another model, and random search.

    The accuracy that is left is an upper bound: a better attack may find more. It is of
    this norm, these epsilons and these examples, and says nothing of other changes.

    Args:
        run: A finished run on pictures or vectors that answers with a class; or its
            folder.
        norm: `inf`: the largest change of a number is limited; `2`: the root of the sum
            of squared changes.
        epsilons: Limits to try. Pictures: in pixels from 0 to 1; vectors: in standard
            deviations of each feature. Default: four of them.
        steps: Of PGD, each of 2.5 * epsilon / steps.
        restarts: Of PGD, from random points.
        examples: Held-out examples that are attacked, at most.
        queries: Answers that random search asks for, of each example.
        transfer_from: A run whose adversarial examples are tried; None: a model of the
            same recipe with another seed is trained for it.
        seed: Of all that is drawn.

    Raises:
        RefusedError: Naming all that is wrong.

    Example:

    ```python
    found = ks.attack("runs/cnn/1", epsilons=(0.1, 0.3))
    print(found.text())
    ```
    """
    began = time.monotonic()
    run = run if isinstance(run, Run) else load_run(run)
    numbers = _Numbers(steps, restarts, examples, queries)
    problems = [*problems_of(run.info), *_wrong(norm, epsilons, numbers)]
    other = None
    if transfer_from is not None:
        other = (
            transfer_from if isinstance(transfer_from, Run) else load_run(transfer_from)
        )
        if other.info.input_shape != run.info.input_shape or (
            other.info.class_names != run.info.class_names
        ):
            problems.append(
                "transfer_from: expected a run on the same inputs and classes. "
                f"Received: {other.path}, on {other.info.name}"
            )
    if problems:
        raise RefusedError(problems, heading="attack")
    datasets = mistakes.read_again(run)
    split = "test" if datasets.test is not None else "validation"
    source = getattr(datasets, split)
    if source is None:
        raise RefusedError(f"attack: {run.info.name} has no held-out examples.")
    x, y = units.examples(source.for_evaluation(), examples)
    found = units.of(datasets)
    scene = _Scene(run, x, y, found, norm, numbers, seed)
    points, broken = scene.curve(sorted(epsilons or EPSILONS[norm]))
    if other is None:
        say("attack: another model of the same recipe is trained, to transfer from")
        against, name = surrogate.trained(run, datasets), "another seed"
    else:
        against, name = other.model, str(other.path)
    evidence, robust = scene.evidence(points, broken, against)
    return AttackResult(
        run=str(run.path),
        split=split,
        examples=len(x),
        norm=norm,
        units=found.name,
        steps=steps,
        restarts=restarts,
        queries=queries,
        surrogate=name,
        clean=scene.clean,
        curve=tuple(points),
        evidence=evidence,
        judgement=masking.judge(evidence),
        robust=robust,
        pictures=tuple(scene.pictures(broken)),
        seconds=round(time.monotonic() - began, 1),
    )


def problems_of(info: DataInfo) -> list[str]:
    """Why a run on such data cannot be attacked."""
    problem = units.problem_of_kind(info.kind)
    problems = [] if problem is None else [f"run: {problem}"]
    if not info.class_names:
        problems.append(
            "run: expected one that answers with a class. Received: one on the task "
            f"{info.task}"
            if info.kind != "corpus"
            else "run: expected classes"
        )
    return problems


@dataclasses.dataclass(frozen=True)
class _Numbers:
    steps: int
    restarts: int
    examples: int
    queries: int


def _wrong(norm: str, epsilons: Sequence[float], numbers: _Numbers) -> list[str]:
    problems = []
    if norm not in EPSILONS:
        problems.append(f"norm: expected inf or 2. Received: {norm!r}")
    problems += [
        f"epsilon: expected finite numbers > 0. Received: {e!r}"
        for e in epsilons
        if not 0 < e < float("inf")
    ]
    problems += [
        f"{name}: expected an integer >= 1. Received: {value!r}"
        for name, value in vars(numbers).items()
        if type(value) is not int or value < 1
    ]
    return problems


@dataclasses.dataclass
class _Scene:
    """A run, the examples, and how they may be changed."""

    run: Run
    x: np.ndarray
    y: np.ndarray
    units: Units
    norm: Norm
    numbers: _Numbers
    seed: int

    def __post_init__(self) -> None:
        self.model: keras.Model = self.run.model
        self.right = pgd.is_right(self.model, self.x, self.y, _BATCH)

    @property
    def clean(self) -> float:
        return float(self.right.mean())

    def _pgd(self, ball: Ball, model: keras.Model | None = None, **more: Any) -> Found:
        arguments = {"steps": self.numbers.steps, "restarts": 1, "seed": self.seed}
        return pgd.pgd(
            self.model if model is None else model,
            self.x,
            self.y,
            ball,
            batch_size=_BATCH,
            **{**arguments, **more},
        )

    def curve(
        self, epsilons: Sequence[float]
    ) -> tuple[list[Point], dict[float, Found]]:
        """Accuracy for each epsilon, and what PGD has found there."""
        points, broken = [], {}
        for epsilon in epsilons:
            began = time.monotonic()
            ball = self.units.ball(self.norm, epsilon)
            one = pgd.fgsm(self.model, self.x, self.y, ball, _BATCH)
            many = self._pgd(ball, restarts=self.numbers.restarts)
            points.append(Point(epsilon, one.accuracy, many.accuracy))
            broken[epsilon] = many
            say(
                f"attack: epsilon {epsilon:g}: FGSM leaves {one.accuracy:.4f}, PGD "
                f"{many.accuracy:.4f} ({time.monotonic() - began:.1f} s)"
            )
        return points, broken

    def evidence(
        self, points: list[Point], broken: dict[float, Found], against: keras.Model
    ) -> tuple[Evidence, float]:
        """At the epsilon where PGD leaves about half, and what all attacks leave."""
        point = min(points, key=lambda p: (abs(p.pgd - self.clean / 2), -p.epsilon))
        ball = self.units.ball(self.norm, point.epsilon)
        white = broken[point.epsilon].survived
        by_margin = self._pgd(ball, loss="margin")
        made = self._pgd(ball, against)
        transfer = self.right & pgd.is_right(self.model, made.tried, self.y, _BATCH)
        say(
            f"attack: epsilon {point.epsilon:g}: margin leaves "
            f"{by_margin.accuracy:.4f}, transfer {transfer.mean():.4f}"
        )
        searched = square.square(
            self.model,
            self.x,
            self.y,
            ball,
            queries=self.numbers.queries,
            seed=self.seed,
            batch_size=_BATCH,
        )
        say(f"attack: random search leaves {searched.accuracy:.4f}")
        blind = transfer & searched.survived
        evidence = Evidence(
            epsilon=point.epsilon,
            examples=len(self.x),
            clean=self.clean,
            fgsm=point.fgsm,
            pgd=point.pgd,
            margin=by_margin.accuracy,
            transfer=float(transfer.mean()),
            black_box=searched.accuracy,
            beyond=float((white & ~blind).mean()),
            unbounded=self._unbounded(),
            zero=self._zero_gradients(),
        )
        robust = white & blind & by_margin.survived
        return evidence, float(robust.mean())

    def _unbounded(self) -> float:
        """Accuracy where every number may be any of its range."""
        spans = np.broadcast_to(
            (np.asarray(self.units.high) - self.units.low), self.x.shape[1:]
        )
        scale = np.broadcast_to(self.units.scale, self.x.shape[1:])
        widths = np.where(scale > 0, spans / np.where(scale > 0, scale, 1.0), 0.0)
        epsilon = widths.max() if self.norm == "inf" else np.sqrt((widths**2).sum())
        ball = self.units.ball(self.norm, float(epsilon))
        both = [self._pgd(ball, loss=name).survived for name in losses.BY_NAME]
        return float((both[0] & both[1]).mean())

    def _zero_gradients(self) -> float:
        """Share of the examples, of those that are answered rightly."""
        count = 0
        rows = np.flatnonzero(self.right)
        for first in range(0, len(rows), _BATCH):
            some = rows[first : first + _BATCH]
            gradient = uphill.gradient_of(
                self.model,
                tf.constant(self.x[some]),
                tf.constant(self.y[some], tf.int64),
                losses.cross_entropy,
            ).numpy()
            count += int((gradient.reshape(len(some), -1) == 0).all(axis=1).sum())
        return count / max(1, len(rows))

    def pictures(self, broken: dict[float, Found]) -> list[Example]:
        """Some that were broken, by the smallest epsilon that did."""
        if self.run.info.kind != "image":
            return []
        names = self.run.info.class_names
        found: list[Example] = []
        for epsilon, each in broken.items():
            fallen = np.flatnonzero(self.right & ~each.survived)
            wanted = max(2, _PICTURES // len(broken))
            for row in fallen[:wanted]:
                answer = np.asarray(
                    self.model.predict_on_batch(each.tried[row : row + 1])
                )[0]
                found.append(
                    Example(
                        epsilon,
                        self.units.shown(self.x[row]),
                        self.units.shown(each.tried[row]),
                        names[int(self.y[row])],
                        names[int(answer.argmax())],
                        float(answer.max()),
                    )
                )
        return found
