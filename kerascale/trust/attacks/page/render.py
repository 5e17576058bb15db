"""The page about attacks: one HTML file that needs nothing else."""

import numpy as np

from kerascale.reporting.examples import as_picture
from kerascale.reporting.fill_template import fill
from kerascale.trust.attacks.page import figures
from kerascale.trust.attacks.result import AttackResult


def render(found: AttackResult) -> str:
    """The page."""
    pictures = [
        (
            example,
            as_picture(example.original, 0.0, 1.0),
            as_picture(example.changed, 0.0, 1.0),
            as_picture(_difference(example.original, example.changed), 0.0, 1.0),
        )
        for example in found.pictures
        if example.original.shape[-1] in (1, 3)
    ]
    return fill(
        "attack.html",
        package="kerascale.trust.attacks.page",
        title=f"{found.run}: under attack",
        found=found,
        figure=figures.of_attack(found),
        pictures=pictures,
    )


def _difference(original: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """The change around grey, as large as it can be shown."""
    change = changed - original
    largest = float(np.abs(change).max()) or 1.0
    return 0.5 + 0.5 * change / largest
