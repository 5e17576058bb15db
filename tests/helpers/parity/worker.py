"""Runs cases under one strategy, in a process of its own.

    python worker.py STRATEGY PRECISION OUTPUT CASE...

STRATEGY is `one`, `one:FORM` (told by KERASCALE_EXECUTION), `mirrored:N`, `workers:N`
(told by TF_CONFIG) or `shared:N`: workers that sum gradients through shared memory, not
by TensorFlow; with `plain-` before it for plain Keras. The chief writes
OUTPUT/CASE.npz; whoever fails writes OUTPUT/CASE.WORKER.error.
"""

import contextlib
import faulthandler
import os
import pathlib
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from groups import FINISHED, OUT_OF_STEP

# A case that takes longer hangs.
CASE_SECONDS = 300


def main(strategy_name, precision, output, *names):
    import keras
    import numpy as np
    import tensorflow as tf

    plain = strategy_name.startswith("plain-")
    strategy_name = strategy_name.removeprefix("plain-")
    strategy = make(tf, strategy_name)
    if precision == "float64":
        keras.config.set_floatx("float64")
    import building

    building.plain = plain
    building.output = pathlib.Path(output)
    worker = getattr(strategy.cluster_resolver, "task_id", 0) or 0
    building.worker = worker
    building.strategy = strategy
    building.is_forced = strategy_name.startswith("one:")
    for name in names:
        began = time.monotonic()
        cpu = _cpu_clock()
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        keras.utils.clear_session()  # It forgets the policy too.
        keras.config.set_dtype_policy(precision)
        keras.utils.set_random_seed(7)
        building.case_name = name  # NAME@2 is NAME, run again.
        print(f"begin {name}", file=sys.stderr, flush=True)
        try:
            values = run(name.removesuffix("@2"), strategy)
        except Exception:
            text = traceback.format_exc()
            print(text, file=sys.stderr)
            (building.output / f"{name}.{worker}.error").write_text(text)
            if strategy_name.startswith(("workers", "shared")):
                # Workers may be out of step now: the rest wants new processes.
                sys.exit(OUT_OF_STEP)
        else:
            if worker == 0:
                np.savez(building.output / f"{name}.npz", **known(values))
        faulthandler.cancel_dump_traceback_later()
        seconds = f"{time.monotonic() - began:.1f} s, {cpu():.1f} s of CPU"
        print(f"end {name} {seconds}", file=sys.stderr, flush=True)
    print(FINISHED, file=sys.stderr, flush=True)


def run(name, strategy):
    """The arrays of a case; of a refusal, its message."""
    import cases
    import numpy as np
    import registry

    import kerascale

    if name in cases.CASES:
        case = cases.CASES[name]
        with strategy.scope() if case.in_scope else contextlib.nullcontext():
            return case.function()
    try:
        with strategy.scope():
            registry.REFUSALS[name].function()
    except kerascale.RefusedError as error:
        return {"message": np.array(str(error))}
    raise AssertionError("expected a RefusedError; nothing was raised")


def known(values):
    """The same in types that NumPy knows without further packages: no bfloat16."""
    import numpy as np

    arrays = {key: np.asarray(value) for key, value in values.items()}
    return {
        key: value.astype(np.float32) if value.dtype.name == "bfloat16" else value
        for key, value in arrays.items()
    }


def _cpu_clock():
    began = time.process_time()
    return lambda: time.process_time() - began


def make(tf, name):
    """The strategy of a name; set up before anything else touches devices."""
    kind, _, count = name.partition(":")
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        devices = [tf.config.LogicalDeviceConfiguration()] * int(count)
        tf.config.set_logical_device_configuration(cpu, devices)
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(int(count))])
    if kind in ("workers", "shared"):
        way = "shared_memory" if kind == "shared" else "tensorflow"
        os.environ["KERASCALE_ALL_REDUCE"] = way
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


if __name__ == "__main__":
    main(*sys.argv[1:])
