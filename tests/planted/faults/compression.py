"""Faults of compression: distillation, pruning, the ladder."""

from ..fault import Fault

FAULTS = (
    Fault(
        "soft-targets-are-not-made-up-for-by-the-temperature",
        "compression/distillation/soft_targets.py",
        "return self.temperature**2 * ops.sum(each, axis=-1)",
        "return ops.sum(each, axis=-1)",
        ("distillation/test_distillation_loss.py",),
    ),
    Fault(
        "a-teacher-has-random-layers",
        "compression/distillation/teacher.py",
        "outputs = keras_private.call(model, x, training=False)",
        "outputs = keras_private.call(model, x, training=True)",
        ("distillation/test_distillation_loss.py",),
    ),
    Fault(
        "weights-are-pruned-at-an-even-pace",
        "compression/pruning/plan.py",
        "rate * (1 - (1 - i / times) ** 3)",
        "rate * (i / times)",
        ("pruning/test_pruning_masks.py::test_the_schedule_is_cubic",),
    ),
    Fault(
        "masks-do-not-hold",
        "compression/pruning/masks.py",
        "return value * tf.cast(tf.convert_to_tensor(self.mask.value), value.dtype)",
        "return value",
        ("pruning/test_pruning_masks.py",),
    ),
    Fault(
        "ranges-begin-with-zeros",
        "compression/quantization/learning.py",
        "share = tf.maximum(1 / count, 1 - _KEPT)",
        "share = 1 - _KEPT",
        ("quantization/test_fake.py::test_ranges_are_moving_averages",),
    ),
    Fault(
        "what-is-clipped-has-a-gradient",
        "compression/quantization/fake.py",
        "inside = tf.equal(places, kept)",
        "inside = tf.ones_like(kept, tf.bool)",
        ("quantization/test_fake.py::test_gradients_pass_where_nothing_is_clipped",),
    ),
    Fault(
        "integers-are-clipped-one-step-early",
        "compression/quantization/fake.py",
        "_STEPS = 255",
        "_STEPS = 254",
        ("quantization/test_fake.py",),
    ),
    Fault(
        "ranges-stay-in-the-optimizer",
        "compression/quantization/learning.py",
        "    keras_private.forget(learning.optimizer, learning.variables)\n",
        "",
        ("quantization/test_fake.py",),
    ),
    Fault(
        "a-rung-whose-drop-is-no-number-is-taken",
        "compression/ladder/result.py",
        "if drop <= max_drop + 1e-12:",
        "if not drop > max_drop + 1e-12:",
        ("ladder/test_what_is_refused.py::test_a_rung_beyond_the_limit",),
    ),
)
