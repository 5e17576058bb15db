"""Whether a gradient is masked: whether white-box attacks fail for another reason.

Athalye et al. 2018, "Obfuscated gradients give a false sense of security", section 3,
and Carlini et al. 2019, "On evaluating adversarial robustness".
"""

import dataclasses

import numpy as np

# By how much an attack that should be weaker may be better: two standard errors, and
# at least so much.
_SLACK = 0.01


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the signs are looked for in. Accuracies are of the same examples.

    Args:
        epsilon: At which black-box attacks were run.
        examples: How many were attacked.
        clean: Accuracy without any attack.
        fgsm: Under one step.
        pgd: Under PGD with restarts.
        margin: Under PGD on the margin of logits, in place of the cross-entropy.
        transfer: Under examples of another model.
        black_box: Under random search.
        beyond: Share of those that PGD could not break, and a black-box attack has.
        unbounded: Under PGD with an epsilon of the whole range of pixels.
        zero: Share of examples whose gradient is exactly zero.
    """

    epsilon: float
    examples: int
    clean: float
    fgsm: float
    pgd: float
    margin: float
    transfer: float
    black_box: float
    beyond: float
    unbounded: float
    zero: float


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the evidence says.

    Args:
        masked: Whether the accuracy under PGD is not to be believed.
        signs: Why, each a sentence.
    """

    masked: bool
    signs: tuple[str, ...]

    def text(self) -> str:
        if not self.masked:
            return (
                "No sign of a masked gradient: attacks without it find no more than "
                "PGD does, and PGD breaks everything where it may change everything."
            )
        return (
            "The gradient is MASKED, and the accuracy under PGD is not to be believed: "
            f"{'; '.join(self.signs)}."
        )


def judge(found: Evidence) -> Judgement:
    """Looks for signs."""
    error = float(np.sqrt(found.pgd * (1 - found.pgd) / found.examples))
    slack = max(_SLACK, 2 * error)
    signs: list[str] = []
    weaker = {
        "another model's examples": found.transfer,
        "random search, which sees no gradient,": found.black_box,
    }
    for name, accuracy in weaker.items():
        if accuracy < found.pgd - slack:
            signs.append(
                f"{name} leave an accuracy of {accuracy:.3f}, PGD {found.pgd:.3f}"
            )
    if found.beyond > slack:
        signs.append(
            f"{found.beyond:.1%} of the examples withstand PGD, and no black-box attack"
        )
    if found.fgsm < found.pgd - slack:
        signs.append(
            f"one step leaves {found.fgsm:.3f}, less than many ({found.pgd:.3f})"
        )
    if found.margin < found.pgd - max(slack, 0.05):
        signs.append(
            f"PGD on the margin of logits leaves {found.margin:.3f}: the cross-entropy "
            "is saturated"
        )
    if found.unbounded > max(slack, 0.05):
        signs.append(
            "where everything may be changed, PGD leaves an accuracy of "
            f"{found.unbounded:.3f}, which should be none"
        )
    if found.zero > max(slack, 0.05):
        signs.append(f"{found.zero:.0%} of the examples have a gradient of zero")
    return Judgement(bool(signs), tuple(signs))
