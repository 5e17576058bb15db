"""The page about an audit: one HTML file that needs nothing else."""

from kerascale.reporting.fill_template import fill
from kerascale.trust.auditing.drift import LARGE, NOTABLE
from kerascale.trust.auditing.groups import SMALLEST
from kerascale.trust.auditing.page import figures
from kerascale.trust.auditing.result import TITLES, Audit


def render(audit: Audit) -> str:
    """The page."""
    return fill(
        "audit.html",
        package="kerascale.trust.auditing.page",
        title=f"{audit.path}: whom it fails",
        audit=audit,
        figures=figures.of_audit(audit),
        titles=TITLES,
        smallest=SMALLEST,
        notable=NOTABLE,
        large=LARGE,
    )
