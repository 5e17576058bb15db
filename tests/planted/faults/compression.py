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
        "a-rung-whose-drop-is-no-number-is-taken",
        "compression/ladder/result.py",
        "if drop <= max_drop + 1e-12:",
        "if not drop > max_drop + 1e-12:",
        ("ladder/test_what_is_refused.py::test_a_rung_beyond_the_limit",),
    ),
)
