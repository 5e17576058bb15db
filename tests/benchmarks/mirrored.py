"""Two logical devices of this processor against one, with the same global batch.

They have the same cores: what is lost is what `MirroredStrategy` costs.
"""

from . import environments
from .contenders import CONTENDERS as OF_ONE
from .contenders import Contender

LETTERS = ("A", "D")


def _of(name: str, title: str) -> Contender:
    return Contender(
        name, title, environments.OWN, "keras_fit", OF_ONE["kerascale"].variables
    )


CONTENDERS = {
    contender.name: contender
    for contender in (
        OF_ONE["kerascale"],
        _of("kerascale-mirrored", "kerascale, 2 logical devices"),
        _of(
            "kerascale-mirrored-compiled",
            "kerascale, 2 logical devices, each compiled by XLA",
        ),
        _of("kerascale-mirrored-fixed", "kerascale, 2 logical devices, step by step"),
        OF_ONE["keras"],
        _of("keras-mirrored", "Keras `fit`, 2 logical devices"),
    )
}
