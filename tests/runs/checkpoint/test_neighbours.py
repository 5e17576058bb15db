"""Checkpoints of steps that follow on each other are told apart."""

from helpers import stores

from kerascale.runs.checkpoint import Store


def test_going_back_removes_the_very_next_step(tmp_path):
    store = Store(tmp_path / "checkpoints", keep=9)
    for step in (10, 11, 12):
        stores.save(store, step)
    assert store.remove_after(10) == [11, 12]
    assert store.steps() == [10]
    newest, skipped = store.newest()
    stores.assert_whole(newest, 10)
    assert skipped == []
