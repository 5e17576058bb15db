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
    assert rooms - {fault.room for fault in faults.ALL} == set()
    assert len(faults.ALL) >= 44
