"""Fields of adversarial training that are right alone and wrong together."""

from typing import Any

from kerascale.config.compression_conflicts import fields_set, fields_without

_OF_ADVERSARIAL = (
    "epsilon",
    "adversarial_norm",
    "adversarial_steps",
    "adversarial_step_size",
    "adversarial_warmup_epochs",
)


def of(config: Any) -> list[str]:
    """Every conflict in a `TrainingConfig`."""
    if config.adversarial is None:
        way_out = "adversarial=None. Say how: --adversarial pgd"
        return fields_without(config, _OF_ADVERSARIAL, "adversarial", way_out)
    problems = []
    if config.adversarial == "fgsm":
        problems += [
            f"{name}: expected only with adversarial=pgd: fgsm takes one step. "
            f"Received: {value!r}"
            for name, value in fields_set(config, ("adversarial_steps",))
        ]
    if config.teacher_cache:
        problems.append(
            "teacher_cache: expected training examples that are the same in each "
            f"epoch. Received: adversarial={config.adversarial}, which changes them. "
            "Leave one of them out"
        )
    return problems
