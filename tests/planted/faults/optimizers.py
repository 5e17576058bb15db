"""Faults of optimizers, schedules and constraints."""

from ..fault import Fault

FAULTS = (
    Fault(
        "the-deviance-of-counts-is-in-their-units",
        "optimizers/task_losses.py",
        "true, given = y_true / mean, y_pred / mean",
        "true, given = y_true, y_pred",
        ("test_task_metrics.py::test_the_deviance_of_counts_is_that_of_poisson",),
    ),
    Fault(
        "a-schedule-counts-batches",
        "optimizers/schedules.py",
        "updates_per_epoch = steps_per_epoch / config.gradient_accumulation_steps",
        "updates_per_epoch = steps_per_epoch",
        ("test_rates.py",),
    ),
    Fault(
        "the-first-rate-of-a-warm-up-is-zero",
        "optimizers/schedules.py",
        "rising = target * (step + 1.0) / self.warmup_steps",
        "rising = target * step / self.warmup_steps",
        ("test_optimizers.py::test_warm_up_rises_linearly_and_hands_over",),
    ),
    Fault(
        "all-gradients-are-clipped-one-by-one",
        "optimizers/factory.py",
        "        clipnorm=config.clipnorm,\n"
        "        global_clipnorm=config.global_clipnorm,\n",
        "        clipnorm=config.clipnorm or config.global_clipnorm,\n",
        ("test_optimizers.py::test_optimizers_by_name",),
    ),
    Fault(
        "a-rate-that-went-back-is-not-lowered",
        "optimizers/rollback_rates.py",
        "rate.assign(rate * factor)",
        "rate.assign(rate)",
        ("test_rates.py",),
    ),
    Fault(
        "the-second-lowering-multiplies-the-first",
        "optimizers/rollback_rates.py",
        "first = schedule.schedule if isinstance(schedule, Lowered) else schedule",
        "first = schedule",
        ("test_rates.py",),
    ),
    Fault(
        "r2-forgets-the-mean",
        "optimizers/task_metrics.py",
        "self.total_squares - ops.square(mean) * self.count",
        "self.total_squares",
        ("test_task_metrics.py",),
    ),
    Fault(
        "the-loss-of-a-regression-is-not-scaled",
        "optimizers/task_losses.py",
        "ops.square((y_true - y_pred) / scale)",
        "ops.square(y_true - y_pred)",
        ("test_task_metrics.py::test_the_loss_is_in_units_of_the_scale",),
    ),
)
