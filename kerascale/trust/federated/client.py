"""What a client does in a round: it trains the weights that it was given."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config.recipes import Recipe
from kerascale.datasets import Datasets
from kerascale.datasets.gathers import traced_as_it_is
from kerascale.engine import state
from kerascale.engine.compat import keras_private
from kerascale.engine.execution import step_functions
from kerascale.engine.execution.modes import Mode
from kerascale.engine.step import build as engine_build
from kerascale.engine.step import randomness
from kerascale.errors import RefusedError
from kerascale.training.build import make_datasets, make_model
from kerascale.training.seeding import seed
from kerascale.trust.federated import partition
from kerascale.trust.federated.averaging import Kind
from kerascale.trust.federated.federation import Federation

# Steps in a call of the compiled function.
_STEPS = 16


@dataclasses.dataclass
class Clients:
    """All clients of a federation, in this process: one model trains for each in turn.

    Args:
        model: Compiled and built.
        datasets: Of all clients together.
        parts: The training examples of each.
        federation: What they are a part of.
        seed: Of the configuration.
    """

    model: keras.Model
    datasets: Datasets
    parts: list[np.ndarray]
    federation: Federation
    seed: int

    def __post_init__(self) -> None:
        self._initial = state.capture(self.model, metrics=False)
        self._batches: dict[int, Any] = {}

    def train(
        self, client: int, round_number: int, weights: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], float]:
        """One client's part of a round.

        Args:
            client: Its number.
            round_number: From 0.
            weights: What `weights_of` gave.

        Returns:
            What it made of them, and the loss of its last pass.
        """
        state.restore(self.model, {**self._initial, **weights}, metrics=False)
        self._set_seeds(client, round_number)
        batches, federation = self._of(client), self.federation
        passes = federation.local_epochs
        if federation.local_steps is not None:
            passes = -(-federation.local_steps // batches.steps_per_epoch)
        begin = round_number * passes
        if federation.local_steps is not None:
            done = begin * batches.steps_per_epoch
            batches = batches.ending_at(done + federation.local_steps)
        history = self.model.fit(
            batches, epochs=begin + passes, initial_epoch=begin, verbose=0
        )
        return weights_of(self.model), float(history.history["loss"][-1])

    def _of(self, client: int) -> Any:
        """The batches of one client, in an order of its own."""
        if client not in self._batches:
            whole = self.datasets.train
            rows = tf.constant(self.parts[client], tf.int64)

            def gather(indices: tf.Tensor, epoch: tf.Tensor) -> Any:
                return whole.gather(tf.gather(rows, indices), epoch)

            self._batches[client] = dataclasses.replace(
                whole,
                gather=traced_as_it_is(gather, whole.gather),
                plain_gather=None,
                num_examples=len(self.parts[client]),
                seed=_number(self.seed, "order", client) % 2**63,
            )
        return self._batches[client]

    def _set_seeds(self, client: int, round_number: int) -> None:
        for i, generator in enumerate(randomness.generators(self.model)):
            number = _number(self.seed, "draws", client, round_number, i)
            words = np.array([number % 2**32, number >> 32], np.uint32)
            generator.state.assign(words)


def _number(*facts: Any) -> int:
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Name -> value of all that a model has, without its optimizer."""
    captured = state.capture(model, metrics=False)
    return {n: v for n, v in captured.items() if n.startswith("model/")}


def kinds_of(model: keras.Model) -> dict[str, Kind]:
    """Name, as in `weights_of` -> what it is."""
    seeds = {id(g.state) for g in randomness.generators(model)}
    trained = {id(v) for v in model.trainable_variables}
    metrics = {id(v) for metric in model.metrics for v in metric.variables}
    found: dict[str, Kind] = {}
    variables = [v for v in model.variables if id(v) not in metrics]
    for i, variable in enumerate(variables):
        name = f"model/{i:05d}"
        if id(variable) in seeds or variable.dtype == "string":
            found[name] = "kept"
        elif id(variable) in trained:
            found[name] = "trained"
        elif keras.backend.is_float_dtype(variable.dtype):
            found[name] = "statistic"
        else:
            found[name] = "counter"
    return found


def made(recipe: Recipe, config: Any, federation: Federation) -> Clients:
    """Data and model, as every process of a federation makes them.

    Raises:
        RefusedError: If they cannot be divided or trained so.
    """
    tf.config.experimental.enable_op_determinism()
    seed(config)
    datasets = make_datasets(recipe, config)
    if not datasets.train.is_indexed:
        raise RefusedError(
            "federated: expected data that is read by index. Received: a "
            "tf.data.Dataset, which is read in its own order."
        )
    parts = partition.divided(
        federation.partition,
        _labels(datasets) if federation.partition != "iid" else None,
        datasets.train.num_examples,
        federation.clients,
        getattr(config, "seed", 0),
    )
    seed(config)
    model = make_model(recipe, config, datasets)
    engine_build.build(model, datasets.train.element_spec)
    step_functions.set_mode(model, Mode("loop", _STEPS))
    _refuse_unfit(model, federation)
    return Clients(model, datasets, parts, federation, getattr(config, "seed", 0))


def _labels(datasets: Datasets) -> np.ndarray | None:
    if not datasets.info.class_names:
        return None
    source = datasets.train.for_evaluation()
    found = np.concatenate([np.asarray(y) for _, y in source.dataset()])
    return found.astype(np.int64) if found.ndim == 1 else None


def _refuse_unfit(model: keras.Model, federation: Federation) -> None:
    normalizing = [
        layer.name
        for layer in keras_private.all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if federation.client_noise is not None and normalizing:
        raise RefusedError(
            "client_noise: expected a model whose clients send changes of weights "
            f"alone. Received: {', '.join(normalizing)}, whose statistics of the data "
            "have no noise. Use a model without BatchNormalization."
        )
