"""Run as a process: one of those that add up a vector together."""

import sys
import time

from kerascale.diagnostics.doctor.processes import tell

# float32; of another number, it stands on the command line.
_ELEMENTS = 2**18


def main() -> None:
    import tensorflow as tf

    elements = int(sys.argv[1]) if len(sys.argv) > 1 else _ELEMENTS
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    worker = strategy.cluster_resolver.task_id
    tell("started", worker)

    @tf.function
    def add() -> tf.Tensor:
        def own() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            vector = tf.fill([elements], tf.cast(worker + 1, tf.float32))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, vector)

        return strategy.experimental_local_results(strategy.run(own))[0]

    total = add()
    # 1 + 2 + ... + number of workers, in every element.
    workers = strategy.num_replicas_in_sync
    expected = workers * (workers + 1) / 2
    tell("right", bool(tf.reduce_all(total == expected)))
    began = time.perf_counter()
    for _ in range(5):
        add().numpy()
    tell("seconds", (time.perf_counter() - began) / 5)
    tell("bytes", elements * 4)


if __name__ == "__main__":
    main()
