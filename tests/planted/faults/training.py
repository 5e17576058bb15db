"""Faults of `train`, and of what begins and ends a run."""

from ..fault import Fault

FAULTS = (
    Fault(
        "what-was-drawn-before-decides-the-run",
        "training/seeding.py",
        'keras.utils.set_random_seed(getattr(config, "seed", 0) % 2**32)',
        "del config",
        (
            "test_training.py::test_a_run_does_not_depend_on_what_the_process_did_before",
        ),
    ),
    Fault(
        "the-model-has-the-last-weights",
        "training/finish.py",
        "    model.load_weights(best)\n",
        "",
        ("test_training.py::test_the_model_has_the_best_weights_by_validation_loss",),
    ),
    Fault(
        "precision-and-recall-change-places",
        "training/evaluation.py",
        "true = confusion.sum(axis=1)\n    predicted = confusion.sum(axis=0)",
        "true = confusion.sum(axis=0)\n    predicted = confusion.sum(axis=1)",
        ("test_evaluation.py",),
    ),
    Fault(
        "the-rate-is-not-lowered-after-a-rollback",
        "training/fit.py",
        "rate = point.rate * lower",
        "rate = point.rate",
        ("test_blow_ups.py::test_it_goes_back",),
    ),
    Fault(
        "one-rollback-too-many",
        "training/fit.py",
        "if rollbacks >= policy.max_rollbacks:",
        "if rollbacks > policy.max_rollbacks:",
        ("test_blow_ups.py::test_a_rate_that_is_too_large",),
    ),
    Fault(
        "a-run-begins-anew-over-damaged-checkpoints",
        "training/resume.py",
        "if found is None and skipped:",
        "if found is None and skipped and plan.fresh:",
        ("test_resume.py::test_damaged_checkpoints",),
    ),
    Fault(
        "history-has-epochs-twice-after-a-resume",
        "training/resume.py",
        '    _write_texts(folder, found.metadata["files"])\n',
        "",
        (
            "test_resume.py::test_back_to_an_older_step",
            "test_resume.py::test_asked_to_stop",
        ),
    ),
    Fault(
        "a-resumed-run-begins-with-the-first-epoch",
        "training/fit.py",
        "initial_epoch=begin.epoch,",
        "initial_epoch=0,",
        ("test_resume.py::test_another_run_goes_on_from_its_state",),
    ),
    Fault(
        "a-kernel-of-another-size-is-taken",
        "training/warm_start.py",
        "elif given[name].shape != variable.shape:",
        "elif len(given[name].shape) != len(variable.shape):",
        (
            "test_warm_start.py::"
            "test_init_from_lists_every_mismatch_and_changes_nothing",
        ),
    ),
    Fault(
        "lost-steps-are-in-the-result",
        "training/throughput/goodput.py",
        "if again > 0 and not start.finished:",
        "if again < 0 and not start.finished:",
        ("test_goodput.py::test_a_kill_is_lost_steps_and_being_down",),
    ),
    Fault(
        "the-time-between-two-starts-is-forgotten",
        "training/throughput/goodput.py",
        "found[DOWN] += _between(start, following)",
        "found[DOWN] += 0.0",
        ("test_goodput.py::test_a_kill_is_lost_steps_and_being_down",),
    ),
)
