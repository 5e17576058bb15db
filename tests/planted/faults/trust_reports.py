"""Faults of explanations, audits, cards and signatures."""

from ..fault import Fault

FAULTS = (
    Fault(
        "attributions-forget-how-far-the-baseline-is",
        "trust/explanation/gradients.py",
        "return total * difference",
        "return total",
        ("test_explain.py::test_linear_models_are_explained_exactly",),
    ),
    Fault(
        "parts-are-taken-away-in-the-wrong-order",
        "trust/explanation/curves.py",
        "np.argsort(-found, kind=",
        "np.argsort(found, kind=",
        ("test_explain.py::test_curves_know_good_from_bad",),
    ),
    Fault(
        "what-was-forgotten-stays-forgotten",
        "trust/explanation/randomized.py",
        "variable.assign(values)",
        "variable.assign(variable)",
        ("test_explain.py::test_what_forgets_remembers_again",),
    ),
    Fault(
        "a-column-comes-in-the-order-of-the-file",
        "datasets/raw.py",
        "self.files[indices]",
        "self.files[: len(indices)]",
    ),
    Fault(
        "small-groups-are-compared-too",
        "trust/auditing/groups.py",
        "np.flatnonzero(self.sizes >= SMALLEST)",
        "np.flatnonzero(self.sizes >= 1)",
        ("test_audit.py::test_small_groups_are_said_and_compared_with_nothing",),
    ),
    Fault(
        "bins-are-weighted-alike",
        "trust/auditing/calibration.py",
        "hits - sure, minlength",
        "hits, minlength",
        ("test_audit.py::test_calibration",),
    ),
    Fault(
        "a-number-is-compared-with-itself",
        "trust/model_card/card_run.py",
        "_is_close(result.value, now)",
        "_is_close(now, now)",
        ("test_card.py::test_a_number_that_was_changed_is_found",),
    ),
    Fault(
        "only-files-that-were-there-are-verified",
        "trust/signing/signable.py",
        "if name not in SIGNED_OF_RUNS]",
        "if name not in SIGNED_OF_RUNS[:5]]",
        ("test_sign.py::test_what_the_model_is_may_not_change",),
    ),
    Fault(
        "a-version-is-loaded-before-it-is-verified",
        "serving/server/repository.py",
        "    _pass(folder, check)\n    servable = Servable(folder)\n",
        "    servable = Servable(folder)\n",
        ("test_checked_versions.py",),
    ),
)
