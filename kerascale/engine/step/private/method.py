"""The training step of a model whose gradients are private."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import observed, optimizer_view, step_loss
from kerascale.engine.step.losses import GlobalLoss
from kerascale.engine.step.private import gradients, noise, taps
from kerascale.errors import RefusedError

# An attribute of a model: its `PrivateMethod`.
_METHOD = "_kerascale_private"


class PrivateMethod:
    """How a model's steps are made private.

    The clipped gradients of a batch's examples are added up over all replicas, noise is
    added once, and the result is divided by the expected size of a batch, which says
    nothing of the data. A sample weight below zero marks a row that fills a batch up.

    Args:
        clip: The largest norm of an example's gradient, of all variables together.
        noise_multiplier: Deviation of the noise, in units of `clip`; 0: none.
        expected_batch_size: What the sum is divided by.
        key: int64 of shape (2,), of which noise is drawn; made in the strategy's
            scope. It is no variable of the model, and saved with nothing.
        by_rules: Whether all layers have formulas; else each example is computed by
            itself.
        beside: Whether some of them are then computed beside each other.
    """

    def __init__(
        self,
        clip: float,
        noise_multiplier: float,
        expected_batch_size: float,
        key: tf.Variable,
        by_rules: bool,
        beside: bool = True,
    ) -> None:
        self.clip = clip
        self.noise_multiplier = noise_multiplier
        self.expected_batch_size = expected_batch_size
        self.key = key
        self.by_rules = by_rules
        self.beside = beside

    # ------------------------------------------------------- a replica's slice

    def train_step(self, model: keras.Model, data: Any) -> dict[str, Any]:
        """See `ReplicaStep.train_step`."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        here = self._place(x, weight)
        if weight is not None:
            weight = tf.nn.relu(weight)
        _prepare(model)
        with (
            tf.GradientTape(watch_accessed_variables=False) as tape,
            taps.collecting() as box,
        ):
            box.tape = tape if self.by_rules else None
            y_pred = keras_private.call(model, x, training=True)
            with shard.at(here):
                loss, penalty = self._loss(model, x, y, y_pred, weight)
            count = tf.cast(here.count, loss.dtype)
            total = loss * count
        rows = tf.shape(keras.tree.flatten(x)[0])[0]
        counts = here.row_weights(rows, loss.dtype)
        if self.by_rules:
            of_products = tape.gradient(total, [tap.products for tap in box.taps])
            found = gradients.of_taps(
                box.taps,
                of_products,
                model.trainable_variables,
                lambda norms: self._factors(norms) * tf.cast(counts, norms.dtype),
            )
        else:
            found = self._one_by_one(model, (x, y, weight), counts)
        shown = loss + penalty
        keras_private.loss_tracker(model).update_state(shown, sample_weight=count)
        step_loss.tell(shown * count / tf.cast(self.expected_batch_size, shown.dtype))
        size = self.expected_batch_size
        optimizer_view.note_weighted()
        model.optimizer.apply([g / size for g in found], model.trainable_variables)
        with shard.at(here):
            return model._update_metrics(x, y, y_pred, weight)

    def _place(self, x: Any, weight: Any) -> shard.Shard:
        """The slice without the rows that fill the batch up, as a batch of its own."""
        around = shard.current()
        rows = tf.shape(keras.tree.flatten(x)[0], tf.int64)[0]
        counts = tf.ones([rows], tf.int64)
        if around is not None:
            counts = around.row_weights(rows, tf.int64)
        if weight is not None:
            counts *= tf.cast(weight >= 0, tf.int64)
        count = tf.reduce_sum(counts)
        zero = tf.zeros([], tf.int64)
        return shard.Shard(
            # As of any slice: that a loss is a share of the batch is shown by it.
            size=rows if around is None else around.size,
            offset=zero if around is None else around.offset,
            count=count,
            replicas=1 if around is None else around.replicas,
            filled=True,
        )

    def _loss(
        self, model: Any, x: Any, y: Any, y_pred: Any, weight: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean of the losses of a slice's examples; and the penalties of weights.

        These say nothing of the data.
        """
        for output in keras.tree.flatten(y_pred):
            if getattr(output, "_keras_mask", None) is not None:
                raise RefusedError(
                    "dp_clip: expected a loss of each example by itself. Received: "
                    "outputs with a mask, of which Keras takes the mean over the "
                    "valid positions of the whole batch. Leave the mask out."
                )
        loss = keras_private.compute_loss(model, x, y, y_pred, weight, training=True)
        if loss.shape.rank:
            raise RefusedError(
                "dp_clip: expected losses with a mean. Received: a loss with "
                "reduction=None. Compile with reduction='sum_over_batch_size'."
            )
        penalties = [
            tf.cast(v.regularizer(v), loss.dtype)
            for v in model.trainable_variables
            if v.regularizer is not None
        ]
        if len(model.losses) > len(penalties):
            raise RefusedError(
                "dp_clip: expected the compiled loss, and penalties of weights. "
                "Received: a model that adds losses of its own (add_loss, or an "
                "activity regularizer), which are not told apart by example."
            )
        penalty = tf.add_n(penalties) if penalties else tf.zeros_like(loss)
        return loss - penalty, penalty

    def _factors(self, norms: tf.Tensor) -> tf.Tensor:
        clip = tf.cast(self.clip, norms.dtype)
        return clip / tf.maximum(norms, clip)

    def _one_by_one(self, model: Any, data: Any, counts: tf.Tensor) -> list[tf.Tensor]:
        variables = model.trainable_variables
        one, zero = tf.ones([], tf.int64), tf.zeros([], tf.int64)
        alone = shard.Shard(size=one, offset=zero, count=one, replicas=1, filled=True)

        def gradient(example: Any) -> list[tf.Tensor]:
            *data, _ = tf.nest.map_structure(lambda t: t[None], example)
            x, y, weight = (*data, None)[:3]
            # The loss of the slice was shown; this is a part of it.
            with tf.GradientTape() as tape, shard.at(alone), observed.unseen():
                y_pred = keras_private.call(model, x, training=True)
                loss, _ = self._loss(model, x, y, y_pred, weight)
            found = tape.gradient(loss, [v.value for v in variables])
            return [
                tf.zeros(v.shape, v.dtype) if g is None else tf.convert_to_tensor(g)
                for g, v in zip(found, variables, strict=True)
            ]

        rows = (*(member for member in data if member is not None), counts)
        return gradients.of_examples(
            gradient,
            rows,
            variables,
            lambda norms, own: self._factors(norms) * tf.cast(own, norms.dtype),
            beside=self.beside,
        )

    # ------------------------------------------------------------- the update

    def finished(
        self,
        model: Any,
        total: Sequence[tf.Tensor],
        variables: Sequence[keras.Variable],
    ) -> list[tf.Tensor]:
        """Adds the noise, and the gradients of penalties of weights.

        Args:
            model: The model.
            total: Clipped gradients, added up over all replicas, over the expected size
                of a batch.
            variables: Whose they are.
        """
        found = list(total)
        if self.noise_multiplier:
            dtype = tf.as_dtype(
                keras.backend.result_type(total[0].dtype.name, "float32")
            )
            deviation = self.noise_multiplier * self.clip / self.expected_batch_size
            shapes = [tf.TensorShape(v.shape) for v in variables]
            now = keras.ops.convert_to_tensor(model.optimizer.iterations)
            key = tf.bitcast(self.key.read_value(), tf.uint64)
            drawn = noise.normal(shapes, key, now, dtype)
            found = [
                g + tf.cast(n * tf.cast(deviation, dtype), g.dtype)
                for g, n in zip(found, drawn, strict=True)
            ]
        penalized = [i for i, v in enumerate(variables) if v.regularizer is not None]
        for i in penalized:
            with tf.GradientTape() as tape:
                value = tf.convert_to_tensor(variables[i])
                tape.watch(value)
                penalty = variables[i].regularizer(value)
            found[i] += tape.gradient(penalty, value)
        return found


def attach(model: keras.Model, method: PrivateMethod | None) -> None:
    """Gives a model a method; None: its steps are ordinary ones."""
    vars(model).pop(_METHOD, None)
    if method is not None:
        vars(model)[_METHOD] = method
    model.train_function = None


def of(model: keras.Model) -> PrivateMethod | None:
    """The method of a model."""
    return vars(model).get(_METHOD)


def kind(model: keras.Model) -> str:
    """How gradients are found, as a name; empty for ordinary ones."""
    method = of(model)
    if method is None:
        return ""
    return "private" if method.by_rules else "private, one by one"


def finished(
    model: keras.Model, total: list[Any], variables: Sequence[keras.Variable]
) -> list[Any]:
    """What is applied, of gradients that every replica has whole."""
    method = of(model)
    return total if method is None else method.finished(model, total, variables)


def variables_of(model: keras.Model) -> list[tf.Variable]:
    """What a step reads that is no variable of the model."""
    method = of(model)
    return [] if method is None else [method.key]


def _prepare(model: keras.Model) -> None:
    """Losses that know of rows which fill up."""
    flat = keras_private.flat_losses(model)
    if not flat:
        raise RefusedError(
            "dp_clip: expected a model whose compiled losses are built. Received: "
            f"{type(model).__name__} without. Compile it with a loss."
        )
    if not all(isinstance(loss, GlobalLoss) for loss in flat):
        keras_private.wrap_losses(model, GlobalLoss)
    for loss in keras_private.flat_losses(model):
        if loss.loss.reduction not in ("sum_over_batch_size", "mean"):
            raise RefusedError(
                f"dp_clip: expected a loss that is a mean over the examples. Received: "
                f"{loss.name} with reduction={loss.loss.reduction!r}. Compile with "
                "reduction='sum_over_batch_size'."
            )
