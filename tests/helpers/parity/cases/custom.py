"""Steps and losses of a user's own, written as Keras' documentation has them."""

import keras
import tensorflow as tf
from building import scaled, trained
from keras import ops
from registry import case


class Network(keras.Model):
    """What the models below share."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="tanh", kernel_regularizer="l2")
        self.out = keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.out(self.hidden(x))


class OwnStep(Network):
    """A step as in Keras' guide, with a metric of its own."""

    def __init__(self):
        super().__init__()
        self.own_loss = keras.metrics.Mean(name="own_loss")

    @property
    def metrics(self):
        return [*super().metrics, self.own_loss]

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        gradients = tape.gradient(loss, self.trainable_variables)
        # Doubled: so a step that is not this one shows.
        gradients = [2 * g for g in gradients]
        pairs = zip(gradients, self.trainable_variables, strict=True)
        self.optimizer.apply_gradients(pairs)
        self.own_loss.update_state(loss, sample_weight=self.rows(x))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=self.rows(x))
            elif metric is not self.own_loss:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}

    def rows(self, x):
        return ops.shape(x)[0]


class ExtraLogs(Network):
    """Returns logs that are no metrics."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred)
        # Before the update: on several replicas it is made after the step.
        weight_norm = ops.norm(self.out.kernel)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=ops.shape(x)[0])
            else:
                metric.update_state(y, y_pred)
        logs = {m.name: m.result() for m in self.metrics}
        return logs | {"weight_norm": weight_norm}


class OwnLoss(Network):
    """A loss of its own: a mean over the slice, and the regularizers."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        errors = ops.sum((y_pred - ops.one_hot(y, 3)) ** 2, -1)
        return ops.mean(errors) + sum(self.losses)


class OwnLossOnTop(Network):
    """Adds to what Keras computes."""

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + 0.5 * ops.mean(y_pred[:, 0] ** 2)


class TwoUpdates(Network):
    """Updates twice in a step."""

    def train_step(self, data):
        x, y = data
        for _ in range(2):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
        return self.compute_metrics(x, y, self(x, training=True))


@case("custom train_step", default=("mirrored:2", "workers:2"), examples=151)
def custom_train_step():
    return trained(scaled(OwnStep()), n=151, validation=True)


@case("two updates in a step", default=("mirrored:2",), examples=151)
def two_updates_in_a_step():
    return trained(scaled(TwoUpdates()), n=151)


@case("custom train_step, batches that divide")
def custom_train_step_even():
    return trained(scaled(OwnStep()), n=160)


@case("custom train_step, last batch of one example")
def custom_train_step_empty_slice():
    return trained(scaled(OwnStep()))


@case("custom train_step, steps_per_execution=3, accumulation, clipping")
def custom_train_step_of_all_kinds():
    return trained(
        scaled(OwnStep()),
        n=151,
        optimizer=keras.optimizers.Adam(
            0.01, gradient_accumulation_steps=2, global_clipnorm=0.2
        ),
        steps_per_execution=3,
    )


@case("custom train_step, logs that are no metrics", examples=151)
def custom_train_step_extra_logs():
    return trained(scaled(ExtraLogs()), n=151)


@case("custom train_step, such logs, steps_per_execution=3", examples=151)
def custom_train_step_extra_logs_steps_per_execution():
    return trained(scaled(ExtraLogs()), n=151, steps_per_execution=3)


@case("custom compute_loss, a mean")
def custom_compute_loss():
    return trained(scaled(OwnLoss()), validation=True)


@case("custom compute_loss, on top of Keras'")
def custom_compute_loss_on_top():
    return trained(scaled(OwnLossOnTop()))
