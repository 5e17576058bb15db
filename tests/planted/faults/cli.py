"""Faults of the command line."""

from ..fault import Fault

FAULTS = (
    Fault(
        "a-refusal-ends-like-a-failure",
        "cli/__init__.py",
        'say_everywhere(f"kerascale {command}: {error}")\n        return EXIT_REFUSED',
        'say_everywhere(f"kerascale {command}: {error}")\n        return EXIT_FAILED',
        ("test_exit_codes.py",),
    ),
    Fault(
        "a-stop-on-request-ends-like-a-success",
        "cli/__init__.py",
        "return EXIT_STOPPED",
        "return EXIT_DONE",
        ("test_exit_codes.py",),
    ),
    Fault(
        "the-file-of-config-wins-over-a-flag",
        "cli/train.py",
        "return parsed.run, parsed.checkpoints, parsed.recipe, file",
        "return parsed.run, parsed.checkpoints, dataclasses.replace(\n"
        '        parsed.recipe, **file["fields"]\n    ), file',
        ("test_arguments.py",),
    ),
    Fault(
        "verify-is-content-whatever-differs",
        "cli/verify.py",
        "return EXIT_DONE if report else EXIT_FAILED",
        "return EXIT_DONE",
        ("test_exit_codes.py",),
    ),
    Fault(
        "the-confusion-table-is-transposed",
        "cli/results.py",
        "zip(names, confusion, strict=True)",
        "zip(names, zip(*confusion), strict=True)",
        ("test_arguments.py",),
    ),
)
