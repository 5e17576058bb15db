"""Adversarial training as a change of a training: what `--adversarial` does."""

import math
from typing import Any

import keras

from kerascale.datasets import Datasets
from kerascale.errors import RefusedError
from kerascale.runtime.console import say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext
from kerascale.trust.adversarial.training import adversarial, finish
from kerascale.trust.attacks import units
from kerascale.trust.attacks.ball import Ball
from kerascale.trust.attacks.pgd import pgd

# Where the configuration names none.
EPSILON = 0.1
# Held-out examples that are attacked when training has ended.
_EXAMPLES = 1000
_BATCH = 250


class AdversarialTraining(Change):
    """A training on examples that are changed against the model. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._ball: Ball | None = None

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        config, datasets = self.config, context.datasets
        problem = units.problem_of(datasets)
        if problem is not None:
            raise RefusedError(f"adversarial: {problem}. Leave it out.")
        found = units.of(datasets)
        epsilon = config.epsilon or EPSILON
        self._ball = found.ball(config.adversarial_norm, epsilon)
        warmup = math.ceil(config.adversarial_warmup_epochs * context.steps_per_epoch)
        steps, size = self._steps, self._step_size
        say(
            f"adversarial: {config.adversarial} in the {config.adversarial_norm} norm, "
            f"epsilon {epsilon:g} {found.name}, {steps} step{'s' * (steps > 1)} of "
            f"{size:.3g}" + (f"; epsilon rises over {warmup} batches" if warmup else "")
        )
        return adversarial(
            model,
            self._ball,
            steps=steps,
            step_size=size,
            warmup_batches=warmup,
            # Not the seed of anything else in the run.
            seed=(config.seed * 2654435761 + 0x5EED) % 2**31,
        )

    @property
    def _steps(self) -> int:
        return 1 if self.config.adversarial == "fgsm" else self.config.adversarial_steps

    @property
    def _step_size(self) -> float:
        given = self.config.adversarial_step_size
        epsilon = self.config.epsilon or EPSILON
        if given is not None:
            return given
        factor = 1.25 if self.config.adversarial == "fgsm" else 2.5
        return factor * epsilon / self._steps

    def finish_model(self, model: keras.Model) -> keras.Model:
        return finish(model)

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """The accuracy under attack, on some of the held-out examples."""
        split = datasets.test or datasets.validation
        if split is None or not datasets.info.class_names:
            return {}
        x, y = units.examples(split.for_evaluation(), _EXAMPLES)
        found = pgd(model, x, y, self._ball, steps=20, restarts=1, batch_size=_BATCH)
        return {
            "adversarial_accuracy": float(found.survived.mean()),
            "adversarial_examples": len(x),
            "epsilon": float(self._ball.epsilon),
        }
