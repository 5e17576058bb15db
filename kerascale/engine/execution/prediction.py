"""`predict` on the replicas of this process."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.collectives import all_reduce, replicas
from kerascale.engine.compat import tensorflow_private
from kerascale.engine.data import shard, slices
from kerascale.engine.execution.agreements import Agreement
from kerascale.engine.parity import check
from kerascale.engine.step import preconditions, randomness
from kerascale.errors import RefusedError


def predict(model: keras.Model) -> Callable[[Sequence[Any]], Any]:
    """The function that `predict` calls for an execution.

    Args:
        model: Of a strategy.

    Returns:
        A function of a list of elements of a local feed, which gives the outputs of
        all of them, one after the other.
    """
    of_element = on_replicas(model)

    def all_of(elements: Sequence[Any]) -> Any:
        parts = [part for element in elements for part in of_element(element)]
        return keras.tree.map_structure(lambda *ts: tf.concat(ts, 0), *parts)

    function = all_of
    if not model.run_eagerly:
        function = tf.function(all_of, autograph=False, reduce_retracing=True)

    def checked(elements: Sequence[Any]) -> Any:
        with refusing(model):
            show(
                model,
                lambda: slices.joined(elements[0]),
                lambda: function.get_concrete_function(elements),
            )
            return function(elements)

    return checked


def on_replicas(
    model: keras.Model, may_communicate: bool = True
) -> Callable[[Any], list[Any]]:
    """What the replicas of this process predict of an element of a local feed.

    Args:
        model: Of a strategy.
        may_communicate: Whether those of one process may ask for each other's rows;
            else that raises `CommunicatesInside`, as it does of several workers.

    Returns:
        A function of an element, which gives the outputs of each replica's rows: one
        after the other they are those of the element.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync > 1:
        preconditions.check_prediction(model)
        if replicas.num_workers(strategy) == 1:  # No worker waits for another.
            randomness.prepare_unseeded(model)
    ids = replicas.local_ids(strategy)
    # Each worker predicts for itself.
    is_alone = strategy.num_replicas_in_sync > len(ids) or not may_communicate
    reach = all_reduce.no_communication if is_alone else contextlib.nullcontext

    def one(item: Any) -> Any:
        data, where = item
        here = shard.of(where, len(ids))
        with randomness.unseeded(model), shard.at(here), reach():
            outputs = model.predict_step(data)
        # Those of a row that fills an empty slice up are none. A row may have several.
        counts = tf.cast(where[2] > 0, tf.int32)
        return keras.tree.map_structure(lambda t: t[: counts * tf.shape(t)[0]], outputs)

    def of_element(element: Any) -> list[Any]:
        items = replicas.per_replica(strategy, ids, element)
        outputs = replicas.run(strategy, one, items)
        flat = keras.tree.flatten(outputs)
        local = [strategy.experimental_local_results(v) for v in flat]
        return [
            keras.tree.pack_sequence_as(outputs, [values[i] for values in local])
            for i in range(len(ids))
        ]

    return of_element


def show(
    model: keras.Model,
    batch: Callable[[], Any],
    trace: Callable[[], tf.types.experimental.ConcreteFunction],
) -> None:
    """Shows that slices predict what the batch does, if that is to be shown.

    Each worker does it for itself.

    Args:
        model: Of a strategy.
        batch: Gives the first one, as a tuple.
        trace: Traces what will run, which is then known by its graph.

    Raises:
        RefusedError: If they do not.
    """
    count = model.distribute_strategy.num_replicas_in_sync
    if count == 1 or not check.is_due(model, "predict"):
        return
    agreement = None
    if not model.run_eagerly:
        tensorflow_private.number_names_anew()  # As in another process.
        with contextlib.suppress(Exception):  # The check says it, or where it is run.
            agreement = Agreement([trace()], ["predict", count])
    if agreement is not None and agreement.is_known():
        check.believe(model, "predict")
        return
    is_shown = check.check(model, "predict", batch(), None)
    if is_shown and agreement is not None:
        agreement.remember()


@contextlib.contextmanager
def refusing(model: keras.Model) -> Iterator[None]:
    """Within it what no slice can predict is refused in words."""
    try:
        yield
    except all_reduce.CommunicatesInside:
        raise RefusedError(
            f"predict of {type(model).__name__}: expected predictions that each "
            "worker can make for itself. Received: kerascale.ops.gather or "
            "global_mean, which ask all workers for their rows. Predict in one "
            "process, or with one device for each worker."
        ) from None
    except tf.errors.InvalidArgumentError as error:
        raise slices.refused(error) or error from None


def cut(model: keras.Model, x: Any) -> Any:
    """A batch as an element of a local feed."""
    count = len(replicas.local_ids(model.distribute_strategy))
    batch = (nests.map_present(tf.convert_to_tensor, keras.tree.lists_to_tuples(x)),)
    return slices.cut(batch, range(count), count)
