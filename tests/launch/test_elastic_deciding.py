"""Who trains together, as agents conclude it from what they know of each other."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerascale.launch.elastic import deciding
from kerascale.launch.elastic.deciding import CUT, LOST, RUNNING, View
from kerascale.launch.elastic.records import Generation, Meeting, Member, Record

NAMES = ("a", "b", "c")


def _records(names=NAMES, cut=(), **fields):
    """Of hosts that reach each other, but for pairs that are `cut`."""
    return {
        name: Record(
            name,
            instance=f"{name}-1",
            host=name,
            agent_port=1,
            worker_port=2,
            reaches=tuple(o for o in names if o != name and {o, name} not in cut),
            **fields,
        )
        for name in names
    }


def _generation(number=1, names=NAMES, kind="start", step=0):
    members = tuple(Member(name, f"{name}-1", f"{name}:2") for name in names)
    return Generation(number, members, kind, "", step, "")


def _view(records, alive=None, generations=(), **options):
    options = {"hosts": 3, "min_workers": 2, "max_restarts": 3, **options}
    return View(
        records, set(records if alive is None else alive), generations, **options
    )


def _with(records, name, **fields):
    return {**records, name: dataclasses.replace(records[name], **fields)}


def _members(follows):
    return [member.name for member in follows.generation.members]


def test_it_begins_when_all_are_there():
    records = _records()
    some = deciding.what_follows(_view(records, alive="ab"))
    assert some.generation is None
    assert some.code is None
    assert some.text == "waiting for 1 of 3 hosts (here: a, b)"
    late = deciding.what_follows(_view(records, alive="ab", is_late=True))
    assert _members(late) == ["a", "b"]
    assert _members(deciding.what_follows(_view(records))) == ["a", "b", "c"]


def test_a_host_without_a_sign_of_life_is_left_out_and_comes_back():
    records = _records()
    view = _view(records, alive="ab", generations=[_generation()])
    assert view.states() == {"a": RUNNING, "b": RUNNING, "c": LOST}
    assert deciding.is_broken(view)
    assert deciding.what_follows(view) is None  # Workers still run.
    records = {
        n: dataclasses.replace(r, ended=int(n != "c"), step=7)
        for n, r in records.items()
    }
    follows = deciding.what_follows(_view(records, "ab", [_generation()]))
    assert _members(follows) == ["a", "b"]
    assert (follows.generation.kind, follows.generation.step) == ("lost", 7)
    assert follows.generation.why == "c was lost at step 7"
    # Another agent on that host.
    second = _generation(2, "ab", "lost")
    records = _with(records, "c", instance="c-2", ended=2)
    view = _view(records, generations=[_generation(), second])
    assert deciding.newcomers(view) == ["c"]
    assert not deciding.is_broken(view)


def test_a_host_that_is_cut_off_ends_its_worker_before_the_others_go_on():
    cut = [{"a", "b"}, {"a", "c"}]
    records = _records(cut=cut)
    view = _view(records, generations=[_generation()])
    assert view.group() == ["b", "c"]
    assert view.states() == {"a": CUT, "b": RUNNING, "c": RUNNING}
    for name in "bc":
        records = _with(records, name, ended=1)
    assert deciding.what_follows(_view(records, generations=[_generation()])) is None
    records = _with(records, "a", ended=1)
    follows = deciding.what_follows(_view(records, generations=[_generation()]))
    assert _members(follows) == ["b", "c"]
    # What its worker ended with counts as no failure.
    assert (follows.generation.kind, follows.generation.why) == (
        "lost",
        "a was cut off at step 0",
    )


def test_too_few_wait_and_end_able_to_go_on():
    records = _records(ended=1)
    view = _view(records, alive="a", generations=[_generation()])
    assert deciding.what_follows(view).text == "waiting for 1 of 2 hosts (here: a)"
    late = deciding.what_follows(dataclasses.replace(view, is_late=True))
    assert late.code == 75
    assert "expected at least 2 hosts. Received: a" in late.text


@pytest.mark.parametrize(
    ("code", "reason", "result"),
    [(0, "", 0), (2, "failed", 2), (130, "failed", 130), (75, "", 75)],
)
def test_what_ends_the_job(code, reason, result):
    records = _records(ended=1, code=code, reason=reason)
    follows = deciding.what_follows(_view(records, generations=[_generation()]))
    assert follows.code == result


def test_a_loss_that_is_nan_is_not_tried_again():
    records = _records(ended=1, code=1, reason="failed", is_hopeless=True)
    assert deciding.what_follows(_view(records, generations=[_generation()])).code == 1


def test_failures_are_counted_and_given_up():
    records = _with(
        _records(ended=1, code=1, reason="failed", step=5),
        "b",
        code=-9,
        reason="killed",
    )
    first = deciding.what_follows(_view(records, generations=[_generation()]))
    assert first.generation.why == "the worker on b ended with exit code 137 at step 5"
    assert first.generation.reason == "killed"
    again = [_generation(), dataclasses.replace(first.generation)]
    same = {n: dataclasses.replace(r, ended=2) for n, r in records.items()}
    follows = deciding.what_follows(_view(same, generations=again))
    assert follows.code == 137
    assert "for the second time: given up" in follows.text
    further = {n: dataclasses.replace(r, step=6) for n, r in same.items()}
    assert deciding.what_follows(_view(further, generations=again)).generation
    follows = deciding.what_follows(_view(further, generations=again, max_restarts=1))
    assert follows.code == 137
    assert "after 1 restarts" in follows.text


def test_hosts_that_leave_and_come():
    asked = _with(_records("abcd", ended=1, code=75), "a", asked=1)
    generations = [_generation(names="abc")]
    view = _view(asked, generations=generations, hosts=4)
    follows = deciding.what_follows(view)
    assert (_members(follows), follows.generation.kind) == (list("abcd"), "returned")
    left = _with(_records(ended=1, code=75), "c", is_leaving=True)
    follows = deciding.what_follows(_view(left, generations=[_generation()]))
    assert (_members(follows), follows.generation.kind) == (["a", "b"], "left")
    all_leave = _records(ended=1, code=75, is_leaving=True)
    assert (
        deciding.what_follows(_view(all_leave, generations=[_generation()])).code == 75
    )


def test_a_launch_before_this_one_is_no_part_of_it():
    before = _generation(4)
    records = {
        name: dataclasses.replace(record, instance=f"{name}-2", ended=4)
        for name, record in _records().items()
    }
    follows = deciding.what_follows(_view(records, generations=[before]))
    assert (follows.generation.number, follows.generation.kind) == (5, "start")
    alone = deciding.what_follows(_view(records, alive="ab", generations=[before]))
    assert alone.generation is None


def test_restarts_of_this_launch_are_told_to_workers():
    made = [
        dataclasses.replace(_generation(n, kind=kind), reason=reason)
        for n, (kind, reason) in enumerate(
            [("start", ""), ("lost", "killed"), ("start", ""), ("lost", "killed"),
             ("failed", "stuck"), ("returned", "")], 1)
    ]  # fmt: skip
    assert deciding.restarts(made) == {"killed": 1, "stuck": 1}


@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))),
        )
    )
)
def test_a_group_reaches_all_of_itself_and_is_the_same_for_all(drawn):
    count, pairs = drawn
    names = tuple(f"w-{i}" for i in range(count))
    cut = [{names[i], names[k]} for i, k in pairs]
    records = _records(names, cut)
    group = _view(records).group()
    assert group
    assert not any({a, b} in cut for a in group for b in group if a != b)
    again = dict(reversed(records.items()))
    assert _view(again).group() == group


def test_names_are_ordered_as_a_person_does():
    names = ("w-10", "w-2", "w-1")
    assert _view(_records(names)).group() == ["w-1", "w-2", "w-10"]


def test_who_makes_a_generation_first_decides(tmp_path):
    one, other = Meeting(tmp_path), Meeting(tmp_path)
    assert one.propose(_generation(names="ab"), "x")
    assert not other.propose(_generation(names="bc"), "y")
    (found,) = other.generations()
    assert [member.name for member in found.members] == ["a", "b"]
    record = dataclasses.replace(_records()["a"], generation=found, final=(1, 0))
    one.write(record)
    assert other.records() == {"a": record}
    (tmp_path / "hosts" / "b.json").write_text('{"name": "b", ')  # Half of it.
    assert other.records() == {"a": record}
