"""Faults of doctor, verify, chaos and bench."""

from ..fault import Fault

FAULTS = (
    Fault(
        "nan-differs-from-nothing",
        "diagnostics/verify/compare_records.py",
        'if not np.isfinite(largest):\n        return float("inf")',
        "if not np.isfinite(largest):\n        return 0.0",
        ("test_verify.py::test_the_measure_is_relative_to_the_largest_value",),
    ),
    Fault(
        "verify-says-same-whatever-differs",
        "diagnostics/verify/verdicts.py",
        '"differs" if first else "same"',
        '"same"',
        ("test_verify.py::test_a_planted_fault_is_named",),
    ),
    Fault(
        "verify-names-the-last-step-that-differs",
        "diagnostics/verify/compare_records.py",
        "if value > self.limit and kind not in self.first:",
        "if value > self.limit:",
        ("test_verify.py::test_the_first_step_and_variable_are_named",),
    ),
    Fault(
        "doctor-is-content-with-a-busy-port",
        "diagnostics/doctor/network.py",
        'return [Finding("port", "wrong", found, mend, values)]',
        'return [Finding("port", "ok", found, mend, values)]',
        ("test_ports.py",),
    ),
    Fault(
        "doctor-is-content-with-a-missing-package",
        "diagnostics/doctor/versions.py",
        'Finding(name, "wrong", "not installed"',
        'Finding(name, "ok", "not installed"',
        ("test_doctor.py::test_a_package_that_is_missing",),
    ),
    Fault(
        "chaos-compares-what-both-runs-have",
        "diagnostics/chaos/checksums.py",
        "names = sorted({*one, *other})",
        "names = sorted({*one} & {*other})",
        ("test_what_differs.py",),
    ),
    Fault(
        "chaos-sums-shapes-and-no-values",
        "diagnostics/chaos/checksums.py",
        "return _bytes(head + np.ascontiguousarray(array).tobytes())",
        "return _bytes(head)",
        ("test_what_differs.py",),
    ),
    Fault(
        "an-estimate-fits-whatever-it-needs",
        "diagnostics/estimate/result.py",
        "return self.total_bytes <= self.memory_bytes",
        "return self.memory_bytes > 0",
        ("test_estimate.py::test_too_little_memory_is_exit_1",),
    ),
    Fault(
        "an-estimate-gives-each-worker-the-whole-batch",
        "diagnostics/estimate/estimate.py",
        "rows = -(-batch_size // workers)",
        "rows = batch_size",
        ("test_estimate.py::test_what_can_be_counted",),
    ),
    Fault(
        "doctor-takes-clocks-for-equal",
        "diagnostics/doctor/cluster/verdicts.py",
        "_CLOCK_SECONDS = 2.0",
        "_CLOCK_SECONDS = 2e9",
        ("test_doctor_cluster.py::test_one_fault_is_named",),
    ),
    Fault(
        "doctor-sees-a-late-file-in-time",
        "diagnostics/doctor/cluster/verdicts.py",
        "_LATE_SECONDS = 1.0",
        "_LATE_SECONDS = 1e9",
        ("test_doctor_cluster.py::test_one_fault_is_named",),
    ),
    Fault(
        "doctor-needs-no-way-between-hosts",
        "diagnostics/doctor/cluster/verdicts.py",
        "if told is None]",
        "if told == 0]",
        ("test_doctor_cluster.py::test_a_port_that_is_closed",),
    ),
)
