"""Private training as a change of a training: what `--dp-clip` does."""

import dataclasses
import hashlib
import json
import math
import secrets
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import Datasets, poisson
from kerascale.engine.collectives import consensus
from kerascale.engine.step.private import install, method
from kerascale.errors import RefusedError
from kerascale.runs import layout
from kerascale.runtime.console import say
from kerascale.training.changes import Change
from kerascale.training.context import RunContext
from kerascale.trust.privacy import accountant, ledger, packages
from kerascale.trust.privacy.accountant import Mechanism
from kerascale.trust.privacy.callback import CountPrivacy

_WORDS = 3


class PrivateTraining(Change):
    """DP-SGD. See `Change`."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        # None: a dry run, of which nothing is kept.
        self._sampler: poisson.Sampler | None = None
        self._method: method.PrivateMethod | None = None
        self._counted: CountPrivacy | None = None
        self._fingerprint = ""
        self._draws = 0

    def check(self) -> list[str]:
        return packages.missing()

    def change_datasets(self, datasets: Datasets) -> Datasets:
        if datasets.info.kind == "corpus":
            raise RefusedError(
                "dp_clip: expected examples with a label each, of which every one "
                "stands for itself. Received: one text, whose windows overlap in what "
                "they tell, with a label for each token. Use mlp, cnn, rnn or "
                "transformer."
            )
        if not datasets.train.is_indexed:
            raise RefusedError(
                "dp_clip: expected data that is read by index, of which each example "
                "comes into a batch by chance. Received: a tf.data.Dataset, which is "
                "read in its own order. Use arrays, files or packed data."
            )
        with tf.device("CPU"):
            key = tf.Variable(0, dtype=tf.uint64, trainable=False)
        train = datasets.train
        self._sampler = poisson.Sampler(train.num_examples, self.config.batch_size, key)
        self._fingerprint = str(datasets.info.fingerprint)
        return dataclasses.replace(
            datasets, train=poisson.sampled(train, self._sampler)
        )

    def change_model(self, model: keras.Model, context: RunContext) -> keras.Model:
        install.refuse_unfit(model)
        x, *_ = next(iter(context.datasets.train.for_evaluation().dataset().take(1)))
        reason = install.tap(model, x)
        beside = True
        if reason:
            install.refuse_draws(model)
            beside = not install.has_loops(model, x)
            say(
                "dp: the gradient of each example is computed by itself, which is "
                f"slow: {reason}"
            )
        key = tf.Variable([0] * 2, dtype=tf.int64, trainable=False)
        self._method = method.PrivateMethod(
            self.config.dp_clip,
            self.config.dp_noise or 0.0,
            self.config.batch_size,
            key,
            by_rules=not reason,
            beside=beside,
        )
        method.attach(model, self._method)
        return model

    def open(self, model: keras.Model, context: RunContext) -> None:
        if self._sampler is None:
            self._draw_keys(context)
            return
        if context.policy.resume_from is not None:
            raise RefusedError(
                "resume_from: expected a private run to go on in its own folder, "
                "which knows what it has spent. Received: "
                f"{context.policy.resume_from}. Pass that folder as --run-dir."
            )
        known = self._read_ledger(context)
        sampler, config = self._sampler, self.config
        delta = config.dp_delta or accountant.default_delta(sampler.num_examples)
        mechanism = Mechanism(
            0.0, sampler.num_examples, sampler.batch_size, sampler.limit
        )
        noise = config.dp_noise
        if noise is None and known.sessions:
            noise = known.sessions[-1].mechanism.noise_multiplier
        if noise is None:
            noise = accountant.noise_for(
                config.dp_epsilon, delta, max(1, context.total_batches), mechanism
            )
        mechanism = Mechanism(
            noise, sampler.num_examples, sampler.batch_size, sampler.limit
        )
        self._method.noise_multiplier = noise
        self._say_plan(context, mechanism, delta, known)
        self._draw_keys(context)
        self._counted = CountPrivacy(
            known,
            mechanism,
            delta=delta,
            budget=config.dp_epsilon,
            steps_per_epoch=context.steps_per_epoch,
            draw_keys=lambda: self._draw_keys(context),
        )
        known.delta = delta

    def callbacks_in_front(self, context: RunContext) -> list[keras.callbacks.Callback]:
        del context
        return [] if self._counted is None else [self._counted]

    def finish_model(self, model: keras.Model) -> keras.Model:
        method.attach(model, None)
        return model

    def results(self, model: keras.Model, datasets: Datasets) -> dict[str, Any]:
        """What it has cost."""
        if self._counted is None:
            return {}
        counted = self._counted
        price = accountant.price(counted.ledger.spent, counted.delta)
        costs = {
            "epsilon": price.epsilon,
            "epsilon_pld": price.pld,
            "epsilon_rdp": price.rdp,
        }
        return {
            # Without noise there is none.
            **{name: value for name, value in costs.items() if math.isfinite(value)},
            "delta": counted.delta,
            "noise_multiplier": counted.mechanism.noise_multiplier,
            "clipping_norm": self.config.dp_clip,
            "private_steps": counted.ledger.steps,
        }

    def _read_ledger(self, context: RunContext) -> ledger.Ledger:
        path = context.folder and context.folder.path / layout.PRIVACY
        text = consensus.from_chief(
            context.strategy, lambda: ledger.read(path).to_text()
        )
        return ledger.from_text(text, path)

    def _draw_keys(self, context: RunContext) -> None:
        """Other keys: those of before were known to this process alone."""

        def draw() -> str:
            if self.config.dp_seed is None:
                return json.dumps([secrets.randbits(64) for _ in range(_WORDS)])
            facts = [self.config.dp_seed, self._fingerprint, self._draws]
            digest = hashlib.sha256(json.dumps(facts).encode()).digest()
            words = [digest[8 * i : 8 * i + 8] for i in range(_WORDS)]
            return json.dumps([int.from_bytes(word, "little") for word in words])

        words = json.loads(consensus.from_chief(context.strategy, draw))
        self._draws += 1
        self._method.key.assign(tf.bitcast(tf.constant(words[:2], tf.uint64), tf.int64))
        if self._sampler is not None:
            self._sampler.key.assign(tf.constant(words[2], tf.uint64))

    def _say_plan(
        self,
        context: RunContext,
        mechanism: Mechanism,
        delta: float,
        known: ledger.Ledger,
    ) -> None:
        steps = context.total_batches
        price = accountant.price([(mechanism, steps)], delta)
        say(
            f"dp: noise {mechanism.noise_multiplier:g}, clip {self.config.dp_clip:g}, "
            f"about {mechanism.batch_size} of {mechanism.num_examples:,} examples in a "
            f"step (at most {mechanism.limit}); {steps} steps cost epsilon "
            f"{price.epsilon:.4g} at delta {delta:g}"
        )
        say(
            "dp: epsilon counts the gradients of the training examples. It does not "
            "count what is taken of the data otherwise (mean and variance, names, a "
            "vocabulary), nor the choice of the best weights by validation examples"
        )
        if self.init_from is not None:
            say(
                "dp: the weights of init_from may tell of what they were trained on: "
                "epsilon does not count it"
            )
        if known.steps:
            spent = accountant.price(known.spent, delta)
            say(f"dp: {known.steps} steps were run before: epsilon {spent.epsilon:.4g}")
        if self.config.dp_seed is not None:
            say(
                "dp: noise and batches are drawn from dp_seed: whoever knows it can "
                "take the noise away. For tests alone"
            )
