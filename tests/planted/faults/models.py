"""Faults of the models."""

from ..fault import Fault

FAULTS = (
    Fault(
        "the-initializer-is-ignored",
        "models/classifier.py",
        "options = self.kernels.arguments()",
        'options = {**self.kernels.arguments(), "kernel_initializer": "he_normal"}',
        ("test_models.py::test_initializer_is_for_every_kernel",),
    ),
    Fault(
        "inputs-are-rounded-before-they-are-normalized",
        "models/classifier.py",
        "self.autocast = False",
        "self.autocast = True",
        ("test_models.py::test_inputs_are_not_rounded_before_normalization",),
    ),
    Fault(
        "a-language-model-sees-what-comes",
        "models/causal_transformer.py",
        "causal=True,",
        "causal=False,",
        ("test_models.py::test_causal_output_depends_on_no_later_token",),
    ),
    Fault(
        "padding-is-read",
        "models/rnn.py",
        "mask_zero=True,",
        "mask_zero=False,",
        ("test_models.py::test_padding_changes_nothing",),
    ),
)
