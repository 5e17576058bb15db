"""Faults of trust: private training, federations."""

from ..fault import Fault

FAULTS = (
    Fault(
        "steps-before-a-kill-cost-nothing",
        "trust/privacy/ledger.py",
        "self.sessions.append(Session(mechanism))",
        "self.sessions = [Session(mechanism)]",
        ("test_private_training.py::test_steps_after_a_kill_count_again",),
    ),
    Fault(
        "the-smaller-epsilon-counts",
        "trust/privacy/accountant.py",
        "return max(self.pld, self.rdp)",
        "return min(self.pld, self.rdp)",
        ("test_private_training.py",),
    ),
    Fault(
        "adam-steps-on-moving-statistics",
        "trust/federated/averaging.py",
        'if kind == "trained":\n                if noise',
        'if kind != "counter":\n                if noise',
        ("test_federated.py",),
    ),
    Fault(
        "a-killed-client-ends-the-round",
        "trust/federated/processes.py",
        "dropped[client] = str(error)",
        "failures.append(error)",
        ("test_federated.py::test_clients_that_give_no_answer_drop_out",),
    ),
)
