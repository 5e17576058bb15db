"""What workers wish for is done if one of them wishes it."""

import pytest
import tensorflow as tf

from kerascale.engine.collectives import stop_votes
from kerascale.engine.collectives.stop_votes import Wish


@pytest.fixture(autouse=True)
def _nothing_is_agreed(monkeypatch):
    monkeypatch.setattr(stop_votes, "_agreed", None)


@pytest.mark.parametrize(
    ("votes", "agreed"),
    [
        ([0, 0], Wish()),
        ([1, 0], Wish(stop=True)),
        ([0, 3], Wish(save=True)),
        ([2, 1], Wish(stop=True, save=True)),
    ],
)
def test_one_is_enough(votes, agreed):
    assert stop_votes.agreed(Wish(save=True)) == Wish(save=True)  # It is alone.
    stop_votes.heard(tf.constant(votes, tf.int64))
    assert stop_votes.agreed(Wish()) == agreed
