"""Are the gradients right: numeric derivatives against those that training uses."""

from kerascale.trust.gradients.check import check_gradients
from kerascale.trust.gradients.report import Report, Row

__all__ = ["Report", "Row", "check_gradients"]
