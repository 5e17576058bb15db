"""One round after the other: who trains, what they send back, what is written."""

import contextlib
import dataclasses
import time
from typing import Any

import keras
import numpy as np

from kerascale.callbacks import SaveWeights, Unwritten, states
from kerascale.config.fields import to_dict
from kerascale.engine import state
from kerascale.runs import files, layout
from kerascale.runtime.console import counted, duration, say
from kerascale.training import finish, own_callbacks
from kerascale.training.context import RunContext
from kerascale.trust.federated import client, noise, saved
from kerascale.trust.federated.averaging import Server
from kerascale.trust.federated.client import Clients
from kerascale.trust.federated.processes import Processes
from kerascale.trust.privacy import accountant, ledger


class Rounds:
    """The rounds of one federation.

    Args:
        context: Of the run, opened.
        own: The clients, as this process has them: its model is the server's.
    """

    def __init__(self, context: RunContext, own: Clients) -> None:
        self._context, self._own = context, own
        self._federation, self._model = own.federation, own.model
        self._folder = context.folder.path
        self._examples = [len(part) for part in own.parts]
        self._server = Server(
            client.kinds_of(own.model),
            client.weights_of(own.model),
            rate=self._federation.rate,
            adaptive=self._federation.algorithm == "fedadam",
            clip=self._federation.client_clip,
        )
        self._ledger = ledger.read(self._folder / layout.PRIVACY)
        self._said: list[dict[str, Any]] = []
        # Of the last round that somebody came into.
        self._loss = 0.0

    def run(self, stack: contextlib.ExitStack) -> dict[str, list[float]]:
        """All rounds that are not done; name -> value of each."""
        federation, context = self._federation, self._context
        unwritten = Unwritten("stop")
        self._callbacks = own_callbacks.make(context, unwritten, histograms=False)
        known = saved.read(self._folder, self._server)
        done = 0
        if known is not None:
            done, memory = known
            self._said = files.read_json(self._folder, layout.FEDERATION)["rounds"]
            self._said = self._said[:done]
            say(f"resuming after round {done} of {federation.rounds}")
        self._say_plan()
        if federation.client_noise is not None:
            self._ledger.delta = federation.client_delta
            self._ledger.begin(noise.mechanism(federation))
        hello = {
            "recipe": context.recipe.source,
            "fields": to_dict(context.config),
            "federation": dataclasses.asdict(federation),
        }
        processes = stack.enter_context(
            Processes(hello, federation.processes, self._folder / layout.FEDERATION_LOG)
        )
        callbacks = keras.callbacks.CallbackList(
            [*self._callbacks],
            model=self._model,
            epochs=federation.rounds,
            steps=1,
            verbose=0,
        )
        if known is not None:
            states.set_states(self._callbacks, memory)
        self._model.stop_training = False
        callbacks.on_train_begin()
        began = time.monotonic()
        for number in range(done, federation.rounds):
            callbacks.on_epoch_begin(number)
            callbacks.on_train_batch_begin(0)
            logs = self._round(number, number - done, processes)
            callbacks.on_train_batch_end(0, logs)
            callbacks.on_epoch_end(number, logs)
            remembered = states.get_states(self._callbacks)
            saved.write(self._folder, self._server, number + 1, remembered)
            if self._model.stop_training:
                break
        callbacks.on_train_end()
        for callback in self._callbacks:
            if hasattr(callback, "write_now"):
                callback.write_now()
        say(f"trained for {duration(time.monotonic() - began)}")
        return files.read_history(self._folder / layout.HISTORY)

    def finish(self, history: dict[str, list[float]]) -> dict[str, Any]:
        """The best weights, the final numbers, the files of an ordinary run."""
        context = self._context
        finish.take_best_weights(
            self._model,
            context,
            [c for c in self._callbacks if isinstance(c, SaveWeights)],
            history,
        )
        metrics = finish.evaluate_finally(self._model, context.datasets)
        metrics |= {
            "clients": self._federation.clients,
            "rounds": len(self._said),
            "dropped_out": sum(len(entry["dropped_out"]) for entry in self._said),
        }
        if self._federation.client_noise is not None:
            price = accountant.price(self._ledger.spent, self._federation.client_delta)
            metrics |= {
                "client_epsilon": price.epsilon,
                "client_delta": self._federation.client_delta,
            }
        finish.save(self._model, context, metrics)
        return metrics

    def _round(self, number: int, here: int, processes: Processes) -> dict[str, Any]:
        federation, server = self._federation, self._server
        seed = getattr(self._context.config, "seed", 0)
        rng = noise.generator(federation, number)
        chosen = noise.participants(federation, number, seed, rng)
        if federation.client_noise is not None:
            self._ledger.note(here + 1)
        answers, dropped = processes.round(
            chosen, number, server.weights, federation.client_timeout
        )
        for name, reason in sorted(dropped.items()):
            say(
                f"round {number + 1}: client {name} dropped out ({reason}); it goes on "
                f"with {counted(len(answers), 'client')}"
            )
        if not answers and federation.client_noise is None:
            raise RuntimeError(
                f"round {number + 1}: expected at least one client that answers. "
                f"Received: none of {len(chosen)}; their messages are in "
                f"{self._folder / layout.FEDERATION_LOG}. The same command goes on."
            )
        there = sorted(answers)
        server.update(
            [answers[name][0] for name in there],
            noise.shares(federation, there, self._examples),
            noise.noise(federation, server.kinds, server.weights, rng),
        )
        arrays = {**state.capture(self._model, metrics=False), **server.weights}
        state.restore(self._model, arrays, metrics=False)
        self._said.append(
            {"clients": there, "dropped_out": {str(k): v for k, v in dropped.items()}}
        )
        self._write_said()
        weights = [self._examples[name] for name in there]
        losses = [answers[name][1] for name in there]
        if there:
            self._loss = float(np.average(losses, weights=weights))
        logs = {"loss": self._loss}
        validation = self._context.datasets.validation
        if validation is not None:
            found = self._model.evaluate(
                validation.for_evaluation(), verbose=0, return_dict=True
            )
            logs |= {f"val_{name}": float(value) for name, value in found.items()}
        logs["clients"] = float(len(there))
        if federation.client_noise is not None:
            price = accountant.price(self._ledger.spent, federation.client_delta)
            logs["client_epsilon"] = price.epsilon
        return logs

    def _write_said(self) -> None:
        self._context.folder.write_json(
            layout.FEDERATION,
            {
                "federation": self._federation.facts(),
                "examples": self._examples,
                "rounds": self._said,
            },
        )

    def _say_plan(self) -> None:
        federation, examples = self._federation, self._examples
        say(
            f"federation: {counted(federation.clients, 'client')} with "
            f"{min(examples):,} to {max(examples):,} examples "
            f"({federation.partition}), {counted(federation.rounds, 'round')} of "
            f"{federation.algorithm}, {counted(federation.processes, 'process')}"
            "; the learning rate is constant"
        )
        if federation.client_noise is not None:
            price = accountant.price(
                [(noise.mechanism(federation), federation.rounds)],
                federation.client_delta,
            )
            say(
                f"federation: all rounds cost each client epsilon {price.epsilon:.4g} "
                f"at delta {federation.client_delta:g}"
            )
        self._write_said()
