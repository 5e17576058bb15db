"""What workers vote for is done if one of them votes it."""

import pytest
import tensorflow as tf

from kerascale.engine.collectives import stop_votes
from kerascale.engine.collectives.stop_votes import Vote


@pytest.fixture(autouse=True)
def _nothing_is_agreed(monkeypatch):
    monkeypatch.setattr(stop_votes, "_agreed", None)


@pytest.mark.parametrize(
    ("votes", "agreed"),
    [
        ([0, 0], Vote()),
        ([1, 0], Vote(stop=True)),
        ([0, 3], Vote(save=True)),
        ([2, 1], Vote(stop=True, save=True)),
    ],
)
def test_one_is_enough(votes, agreed):
    assert stop_votes.agreed(Vote(save=True)) == Vote(save=True)  # It is alone.
    stop_votes.heard(tf.constant(votes, tf.int64))
    assert stop_votes.agreed(Vote()) == agreed
