"""What processes of a mesh must all do at the same step."""

import tensorflow as tf

from kerascale.engine.collectives import consensus, replicas, stop_votes


def hold() -> None:
    """Tells the others, before an execution, whether to stop or to save after it."""
    strategy = tf.distribute.get_strategy()
    if replicas.num_workers(strategy) > 1:
        own = stop_votes.variable().numpy().tolist()
        stop_votes.heard(consensus.gather(strategy, own).sum(axis=0))
