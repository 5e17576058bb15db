"""Shows, before the first step on replicas, that slices of a batch are the batch."""

import dataclasses
from typing import Any, Literal

import keras
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.collectives import consensus
from kerascale.engine.compat import keras_private
from kerascale.engine.parity import samples
from kerascale.engine.parity.differences import Differences, is_of_gradients, unique
from kerascale.engine.parity.observing import Observer
from kerascale.engine.step.step import TrainStep
from kerascale.errors import RefusedError, first_line
from kerascale.runtime.console import say

Kind = Literal["train", "test", "predict"]
Check = Literal["first_step", "never"]

# Attributes of a model: whether it is checked, and what was of which compilation.
_WISH = "_kerascale_check"
_CHECKED = "_kerascale_checked"
_WAYS_OUT = (
    "Ways out: ask for the rows of all replicas with kerascale.ops.gather(x), or for a "
    "mean with kerascale.ops.global_mean(values, mask); give one value for each row; "
    "train on one device; or, if you know better, kerascale.scale(model, "
    'check="never")'
)

_BEHIND_THE_UPDATE = (
    "train_step: with gradient_accumulation_steps the update comes after the step. "
    "Received: a second optimizer.apply(), or weights that are read or written behind "
    "it. Put what follows an update into after_update(self), or leave "
    "gradient_accumulation_steps out"
)


def set_check(model: keras.Model, check: Check) -> None:
    """Says whether the steps of a model are checked."""
    vars(model)[_WISH] = check


def asked_check(model: keras.Model) -> Check:
    """What was said of it, or of its class; a user's attribute may have that name."""
    of_class = "never" if getattr(model, "check", None) == "never" else "first_step"
    return vars(model).get(_WISH, of_class)


def is_due(model: keras.Model, kind: Kind) -> bool:
    """Whether a model's steps of a kind are still to be checked."""
    if asked_check(model) == "never":
        return False
    checked = _checked(model)
    # Keras' own test step computes what its own train step does.
    both = model.has_default_train_step and model.has_default_test_step
    is_known = kind == "test" and both and "train" in checked
    return kind not in checked and not is_known


def believe(model: keras.Model, kind: Kind) -> None:
    """Its steps of a kind were seen to be right before."""
    _checked(model).add(kind)


def check(model: keras.Model, kind: Kind, batch: Any, step: TrainStep | None) -> bool:
    """Compares a few rows of a batch as a whole with their slices.

    All workers call it, but for predictions, which each makes for itself. It is done
    eagerly, on this process's own rows, and changes no variable.

    Args:
        model: Compiled, built and prepared for replicas.
        kind: Which of its steps.
        batch: Rows that this process has of the first batch.
        step: What trains; it is told whether updates may wait until a step's end.

    Returns:
        Whether they were seen to be the same, in this process; not so where nothing
        could be compared.

    Raises:
        RefusedError: On all workers, if they differ; it names what differs.
    """
    _checked(model).add(kind)
    compared = Compared(left_out="there is one row")
    if samples.num_rows(batch) > 1:
        compared = compare(model, kind, batch, step)
        if compared.left_out:
            say(f"note: {compared.left_out}")
    problems = compared.problems
    is_shown = compared.is_finite and not compared.left_out
    strategy = model.distribute_strategy
    if kind == "predict":
        _refuse(model, kind, problems)
        return is_shown
    updates_inside = int(step is not None and step.updates_inside)
    votes = consensus.gather(strategy, [len(problems), updates_inside])
    if step is not None:
        step.updates_inside = bool(votes[:, 1].any())
    if votes[:, 0].any():
        others = ["another worker has found that slices are not the batch"]
        _refuse(model, kind, problems or others)
    return is_shown


def _refuse(model: keras.Model, kind: Kind, problems: list[str]) -> None:
    if not problems:
        return
    _checked(model).discard(kind)
    lines = "".join(f"\n  - {problem}" for problem in problems)
    replicas = model.distribute_strategy.num_replicas_in_sync
    raise RefusedError(
        f"{type(model).__name__} on {replicas} replicas: expected slices of "
        f"a batch to be the batch as a whole. Received:{lines}\n{_WAYS_OUT}."
    )


def _checked(model: keras.Model) -> set[str]:
    compilation, kinds = vars(model).get(_CHECKED, (None, None))
    now = keras_private.compilation(model)
    if compilation is not now or kinds is None:
        kinds = set()
        vars(model)[_CHECKED] = (now, kinds)
    return kinds


@dataclasses.dataclass(frozen=True)
class Compared:
    """What came of comparing a few rows as a whole with their slices.

    Args:
        problems: What differs, each in a line.
        left_out: Why nothing could be compared; empty: it was.
        is_finite: Whether all was finite: of what is not nothing is known.
    """

    problems: list[str] = dataclasses.field(default_factory=list)
    left_out: str = ""
    is_finite: bool = True


def compare(
    model: keras.Model, kind: Kind, batch: Any, step: TrainStep | None
) -> Compared:
    """Compares a few rows of a batch, in three orders, with their slices.

    Compiled losses that are seen to give other values than one for each row are told
    so, and `step` whether its updates may wait until its end.

    Args:
        model: Compiled and built, with losses that know of slices.
        kind: Which of its steps.
        batch: Of at least two rows.
        step: What trains.
    """
    observer = Observer(model, step, kind)
    differences = Differences(model, observer.results)
    results: list[str] = []
    for sample in samples.samples(batch):
        try:
            whole = _whole(observer, sample)
        except Exception as error:  # Of a user's own code, which may need a graph.
            reason = first_line(error)[:200]
            return Compared(
                left_out=f"slices were not compared with the batch: {reason}"
            )
        if whole.draws:
            return Compared(
                left_out=f"{', '.join(dict.fromkeys(whole.draws))} draws for each "
                "replica by itself: slices were not compared with the batch, and the "
                "run equals one device in distribution."
            )
        found = _compare(observer, differences, sample, whole, _look(model, results))
        if found and differences.between(whole, [_whole(observer, sample)], [1.0]):
            return Compared(
                left_out=f"a step of {type(model).__name__} gives something else each "
                "time, as with random numbers of no seed: slices were not compared "
                "with the batch."
            )
        if found and not is_of_gradients(found):
            return Compared(unique(found))
        # What makes them so may be seen in another order of rows.
        results = results or found
    if results:
        return Compared(unique(results))
    if step is not None and step.is_custom:
        depends = len(whole.gradients) > 1
        if observer.at_once:
            after = observer.whole(sample, at_once=False)
            depends = differences.by_update(whole, after)
        if depends and step.micro_batches:
            return Compared([_BEHIND_THE_UPDATE])
        step.updates_inside &= depends
    _build_optimizers(model, observer)
    return Compared(is_finite=differences.are_finite)


def _whole(observer: Observer, sample: samples.Sample) -> Any:
    try:
        return observer.whole(sample, at_once=observer.at_once)
    except AttributeError:
        # No gradient can be taken of what was updated aside.
        observer.at_once = False
        return observer.whole(sample, at_once=False)


def _look(model: keras.Model, found: list[str]) -> list[Any]:
    """The compiled losses that can be told of values which are not one for each row."""
    compiled = keras_private.compiled_loss(model)
    return [] if compiled is None or found else keras_private.flat_losses(model)


def _compare(
    observer: Observer,
    differences: Differences,
    sample: samples.Sample,
    whole: Any,
    losses: list[Any],
) -> list[str]:
    half, rest = divmod(sample.rows, 2)
    shares = [(half + rest) / sample.rows, half / sample.rows]

    def parts_of(member: int | None = None) -> Any:
        parts = observer.parts(sample, whole=member)
        others = {n for p in parts for n, by_row in p.by_row.items() if not by_row}
        counted = [loss for loss in losses if loss.name in others and loss.by_row]
        for loss in counted:
            loss.by_row = False
        return observer.parts(sample, whole=member) if counted else parts

    try:
        found = differences.between(whole, parts_of(), shares)
    except Exception as error:
        reason = first_line(error)[:200]
        found = [f"a slice cannot be computed by itself: {reason}"]
    if not found:
        return []
    members = nests.flat(sample.batch)
    for number in range(len(members) if len(members) > 1 else 0):
        try:
            if not differences.between(whole, parts_of(number), shares):
                return [
                    f"member {number + 1} of the {len(members)} of a batch "
                    f"({members[number].dtype.name}, shape "
                    f"{(None, *members[number].shape[1:])}) is cut as if it had rows, "
                    "and is needed whole: it is a table. Give it to each row "
                    "(keras.ops.repeat), or to the model as a weight"
                ]
        except Exception:  # It is needed in slices.
            continue
    return found


def _build_optimizers(model: keras.Model, observer: Observer) -> None:
    """Makes the variables of optimizers that a step uses: it must not do so itself."""
    others = keras_private.optimizers_of(model)
    for view, variables in observer.optimizers:
        for optimizer in others:
            if vars(view) is vars(optimizer):
                with tf.init_scope(), model.distribute_strategy.scope():
                    if not optimizer.built:
                        optimizer.build(variables)
                    keras_private.prepare_optimizer(optimizer)
