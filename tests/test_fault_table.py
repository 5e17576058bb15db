"""The table of faults itself: one row for each fault, and no failure hidden in it."""

from helpers.fault_table import Line, markdown


def test_one_row_for_each_fault_by_its_number_with_the_longest_time():
    lines = [
        Line(11, "a short row", "exit 2", "exit 2", 0.31),
        Line(2, "SIGTERM", "exit 75", "saved in 2.0 s", 4.0),
        Line(2, "SIGTERM", "exit 75", "saved in 1.5 s", 9.04),
    ]
    assert markdown(lines) == [
        "| # | fault | expected | seen | seconds |",
        "| --: | :-- | :-- | :-- | --: |",
        "| 2 | SIGTERM | exit 75 | saved in 2.0 s; saved in 1.5 s | 9.0 |",
        "| 11 | a short row | exit 2 | exit 2 | 0.3 |",
    ]


def test_one_failure_among_several_is_what_is_seen():
    lines = [
        Line(2, "SIGTERM", "exit 75", "saved in 2.0 s", 4.0),
        Line(2, "SIGTERM", "exit 75", "FAILED", 1.0),
    ]
    assert "| FAILED |" in markdown(lines)[-1]


def test_text_cannot_break_the_table():
    (*_, row) = markdown([Line(11, "a|b", "exit\n2", "", 0)])
    assert row == r"| 11 | a\|b | exit 2 |  | 0.0 |"


def test_nothing_marked_gives_no_table():
    assert markdown([]) == []


def test_a_session_prints_what_its_marked_tests_saw(tmp_path, run_python):
    (tmp_path / "test_marked.py").write_text(
        """
import pytest

@pytest.mark.fault(12, "label = -1", "exit 2")
@pytest.mark.parametrize("label", [-1, 10])
def test_label(seen, label):
    seen(f"{label} refused")

@pytest.mark.fault(9, "a NaN row", "exit 1")
def test_nan(seen):
    seen("exit 1")
    assert False

@pytest.mark.fault(7, "disk full", "SAVE FAILED")
def test_full():
    pytest.skip("may not mount")

def test_other():
    pass
"""
    )
    (tmp_path / "conftest.py").write_text(
        """
import pytest
from helpers.fault_table import FaultTable, note

def pytest_configure(config):
    config.pluginmanager.register(FaultTable())
    config.addinivalue_line("markers", "fault(row, fault, expected): a fault")

@pytest.fixture
def seen(request):
    return lambda text: note(request.node, text)
"""
    )
    here = __file__.rpartition("/")[0]
    printed = run_python(
        "import pytest, sys; sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))",
        cwd=tmp_path,
        env={"PYTHONPATH": here},
        check=False,
    ).stdout
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [row.rpartition(" | ")[0] for row in rows[2:]] == [
        "| 7 | disk full | SAVE FAILED | Skipped: may not mount",
        "| 9 | a NaN row | exit 1 | FAILED",
        "| 12 | label = -1 | exit 2 | -1 refused; 10 refused",
    ]
