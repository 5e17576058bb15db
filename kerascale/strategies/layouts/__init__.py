"""How variables are cut over a mesh: rules, and what follows for each variable."""

from kerascale.strategies.layouts.assign import Placement, assign
from kerascale.strategies.layouts.rules import Described, Rule, rules_of
from kerascale.strategies.layouts.shipped import shipped_for

__all__ = ["Described", "Placement", "Rule", "assign", "rules_of", "shipped_for"]
