"""Training whose result says little of any single example, and what it costs.

DP-SGD: Abadi et al. 2016, "Deep learning with differential privacy".
"""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "membership_attack":
        from kerascale.trust.privacy.membership import membership_attack

        return membership_attack
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
