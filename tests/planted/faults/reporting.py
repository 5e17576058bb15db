"""Faults of the pages about runs."""

from ..fault import Fault

FAULTS = (
    Fault(
        "compare-names-the-last-step-that-differs",
        "reporting/comparison.py",
        "place = int(differ[0])",
        "place = int(differ[-1])",
        ("test_report.py::test_the_first_step_where_losses_part",),
    ),
    Fault(
        "runs-are-identical-without-their-evaluation",
        "reporting/comparison.py",
        "and run.evaluation == first.evaluation",
        "and bool(run.evaluation) == bool(first.evaluation)",
        ("test_comparison.py",),
    ),
    Fault(
        "the-confusion-figure-is-transposed",
        "reporting/figures.py",
        "axes.text(j, i, number,",
        "axes.text(i, j, number,",
        ("test_confusion_figure.py",),
    ),
    Fault(
        "the-mildest-mistakes-are-shown",
        "reporting/mistakes.py",
        "found = sorted(found, key=lambda each: each[:2])[:_SHOWN]",
        "found = sorted(found, key=lambda each: each[:2])[-_SHOWN:]",
        ("test_report.py::test_the_worst_mistakes_are_those_with_the_largest_loss",),
    ),
    Fault(
        "the-best-epoch-is-by-training-loss",
        "reporting/run_record.py",
        'monitor = monitor_of(self.fields, bool(self.curve("val_loss")))',
        "monitor = monitor_of(self.fields, False)",
        ("test_comparison.py",),
    ),
)
