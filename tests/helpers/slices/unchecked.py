"""A model that couples rows, and is believed not to."""

from helpers.slices.refused import CLASSES, compiled, contrastive, sequential

import kerascale as ks


def unchecked():
    """Coupled, and believed not to be."""
    model = sequential(units=4)
    return compiled(ks.scale(model, check="never"), contrastive, CLASSES)


CASES = {"unchecked": unchecked}
