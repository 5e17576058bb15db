"""The planted faults fit the source that they are planted in; no test is run here."""

import collections
import pathlib

from planted import faults
from planted.fault import StaleError

TREE = pathlib.Path(__file__).resolve().parents[1]


def test_every_fault_applies_and_is_still_python():
    stale = []
    for fault in faults.ALL:
        try:
            fault.patched(TREE)
        except StaleError as error:
            stale.append(str(error))
    assert not stale, "\n".join(stale)


def test_tests_that_are_named_are_there():
    missing = [
        f"{fault.name}: {fault.room}/{test}"
        for fault in faults.ALL
        for test in fault.tests
        if not (TREE / "tests" / fault.room / test.partition("::")[0]).is_file()
    ]
    assert not missing, "\n".join(missing)


def test_every_room_has_faults_and_each_a_name_of_its_own():
    count = collections.Counter(fault.name for fault in faults.ALL)
    assert max(count.values()) == 1, count.most_common(1)
    rooms = {p.parent.name for p in (TREE / "kerascale").glob("*/__init__.py")}
    rooms -= {name for name in rooms if not _has_code(TREE / "kerascale" / name)}
    assert rooms - {fault.room for fault in faults.ALL} == set()
    assert len(faults.ALL) >= 44


def _has_code(room):
    """Whether there is more in it than its name."""
    return any(path.name != "__init__.py" for path in room.rglob("*.py"))
