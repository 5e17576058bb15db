"""How a job on several hosts is looked after."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """How a job on several hosts is looked after.

    Args:
        hosts: How many it should have.
        min_workers: How many it goes on with.
        name: Of this host; unique.
        address: At which the others reach it.
        max_restarts: How many failures of workers it may have.
        stuck_seconds: How long a worker may go without a step.
        lost_seconds: How long a host may go without a sign of life.
        start_timeout: How long it is waited for hosts that are missing.
        grace_seconds: How long a worker may take to save after a signal.
        settle_seconds: How long it may take to end by itself after another has.
        together_seconds: How long workers are left alone before they are stopped for a
            host that came.
    """

    hosts: int
    min_workers: int
    name: str
    address: str
    max_restarts: int = 3
    stuck_seconds: float = 30.0
    lost_seconds: float = 15.0
    start_timeout: float = 300.0
    grace_seconds: float = 60.0
    settle_seconds: float = 10.0
    together_seconds: float = 10.0
