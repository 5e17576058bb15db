"""Logical devices that train as one: all of them have what was trained."""

_FIT = """
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
import kerascale as ks

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
x = np.random.default_rng(0).normal(size=(96, 4)).astype("float32")
with strategy.scope():
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1)]
    model = ks.scale(keras.Sequential([keras.Input((4,)), *layers]), execution="loop")
    model.compile(keras.optimizers.Adam(0.05), "mse")
before = [v.numpy().copy() for v in model.trainable_variables]
model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0)
variables = [*model.variables, *model.optimizer.variables]
spread = [v for v in variables if len(strategy.experimental_local_results(v.value)) > 1]
assert len(spread) >= len(model.trainable_variables)
for variable in spread:
    first, second = strategy.experimental_local_results(variable.value)
    assert np.array_equal(first.numpy(), second.numpy()), variable.path
for was, variable in zip(before, model.trainable_variables):
    assert not np.array_equal(was, variable.numpy()), variable.path
"""


def test_every_device_has_what_was_trained(run_python):
    run_python(_FIT, imported=True)
