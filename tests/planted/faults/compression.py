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
        "return value * self.spread(mask)",
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
    Fault(
        "the-base-of-adapters-trains-too",
        "compression/adapters/frozen.py",
        "frozen._set(False)",
        "frozen._set(True)",
        ("adapters/test_adapting.py",),
    ),
    Fault(
        "adapters-are-not-scaled",
        "compression/adapters/adapting.py",
        "scale = (rank if alpha is None else alpha) / rank",
        "scale = 1.0",
        ("adapters/test_adapting.py",),
    ),
    Fault(
        "a-gradient-of-adapters-is-not-scaled",
        "compression/adapters/low_rank.py",
        "tf.matmul(upstream, b, transpose_b=True) * scale",
        "tf.matmul(upstream, b, transpose_b=True)",
        ("adapters/test_adapting.py",),
    ),
    Fault(
        "adapters-are-given-to-another-base",
        "compression/adapters/file.py",
        "if ours != found.base:",
        "if len(ours) != len(found.base):",
        ("adapters/test_adapting.py::test_another_base_is_refused",),
    ),
    Fault(
        "a-saved-model-lacks-what-its-adapters-add",
        "compression/adapters/hosts.py",
        "store[key] = value if found is None else found.added_to(value)",
        "store[key] = value",
        ("adapters/test_adapting.py",),
    ),
    Fault(
        "heads-go-by-their-values-alone",
        "compression/pruning/choice.py",
        "smallest(made * taken, count)",
        "smallest(made, count)",
        ("pruning/test_cut.py::test_heads_that_add_least_go",),
    ),
    Fault(
        "a-token-has-the-answer-of-its-neighbour",
        "compression/distillation/answers.py",
        "starts = inner.starts(indices, epoch) - inner.part[0]",
        "starts = inner.starts(indices, epoch) - inner.part[0] + 1",
        ("distillation/test_answers_of_texts.py",),
    ),
    Fault(
        "features-are-compared-without-a-projection-that-trains",
        "compression/distillation/hints.py",
        "ops.cast(self.projection, mine.dtype)",
        "tf.stop_gradient(ops.cast(self.projection, mine.dtype))",
        ("distillation/test_hints.py",),
    ),
)
