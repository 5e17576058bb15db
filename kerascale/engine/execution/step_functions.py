"""What `fit` and `evaluate` call for an execution, and what a model has of them."""

from typing import Any

import keras
import numpy as np

from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.execution import mode_of_model
from kerascale.engine.execution.executor import Executor
from kerascale.engine.execution.modes import Mode
from kerascale.engine.step import build
from kerascale.engine.step.own_logs import OwnLogs
from kerascale.engine.step.step import TrainStep
from kerascale.runtime.console import say

# An attribute of a model of several replicas that may train as one of a single device:
# for which compilation, and the functions that it has there.
_OF_ONE = "_kerascale_functions_of_one"
_NAMES = ("train_function", "test_function", "predict_function")


def of_one_device(model: keras.Model) -> dict[str, Any]:
    """Name -> function or None, since the model was compiled."""
    compilation = keras_private.compilation(model)
    known = vars(model).get(_OF_ONE)
    if known is None or known[0] is not compilation:
        known = vars(model)[_OF_ONE] = (compilation, dict.fromkeys(_NAMES))
    return known[1]


def forget(model: keras.Model) -> None:
    """They are no longer the model's."""
    vars(model).pop(_OF_ONE, None)


def train(model: keras.Model) -> Executor:
    """The function that `fit` calls for an execution."""
    mode, told = mode_of_model.read(model), mode_of_model.written(model)
    if told is not None and told.kind != mode.kind and not model.run_eagerly:
        say(
            "note: steps are one program of XLA, or split, on one device only; here "
            "XLA compiles what each replica computes in a step."
        )
    own = _own_logs(model, model.has_default_train_step)
    return Executor(model, TrainStep(model, own), own, mode, kind="train")


def trial_of(model: keras.Model, mode: Mode) -> Executor:
    """Like `train`, of a mode of execution that `model` need not have."""
    own = _own_logs(model, model.has_default_train_step)
    kind = "train" if replicas.is_distributed(model.distribute_strategy) else None
    return Executor(model, TrainStep(model, own), own, mode, True, kind)


def _own_logs(model: keras.Model, is_default_step: bool) -> OwnLogs | None:
    """What sorts the logs of a step; None where they can only be metrics."""
    if is_default_step and model.has_default_metrics:
        return None
    return OwnLogs(model)


def set_mode(model: keras.Model, mode: Mode) -> None:
    """Until the next `compile`, `fit` executes steps in this mode."""
    mode_of_model.write(model, mode)
    made = model.train_function
    if not isinstance(made, Executor) or not made.is_of_mode(mode):
        model.train_function = None


def mode_of(model: keras.Model) -> Mode:
    """The mode in which the last `fit` of a model executed its steps."""
    function = model.train_function or of_one_device(model)["train_function"]
    kind = function.kind if isinstance(function, Executor) else "loop"
    return Mode(kind, mode_of_model.read(model).steps)


def trained(model: keras.Model) -> tuple[int, float | None]:
    """Executions since the train function was made, and the seconds of one.

    None where there was one at most.
    """
    made = model.train_function
    if not isinstance(made, Executor) or made.num_calls < 2:
        return getattr(made, "num_calls", 0), None
    return made.num_calls, made.seconds / (made.num_calls - 1)


def release(model: keras.Model) -> None:
    """After a `fit`: lets go of its data."""
    if isinstance(model.train_function, Executor):
        model.train_function.release()


def step_losses(model: keras.Model) -> np.ndarray | None:
    """The loss of each step of the last execution; None where they are not known.

    They are where the training step is Keras' own; on several replicas it is the loss
    of the global batch.
    """
    losses = getattr(model.train_function, "losses", None)
    return None if losses is None or not len(losses) else losses.numpy()


def test(model: keras.Model) -> Executor:
    """The function that `evaluate` calls for an execution."""
    strategy = model.distribute_strategy
    num_replicas = strategy.num_replicas_in_sync
    own = _own_logs(model, model.has_default_test_step)

    def one(item: Any) -> Any:
        data, where = item
        here = shard.of(where, num_replicas)
        with shard.at(here), build.in_replica(model):
            logs = model.test_step(data)
            return logs if own is None else own.kept(logs)

    step = lambda item: replicas.run(strategy, one, item)  # noqa: E731
    return Executor(model, step, own, kind="test")
