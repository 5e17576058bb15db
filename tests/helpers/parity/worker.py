"""Runs cases under one strategy, in a process of its own.

    python worker.py STRATEGY OUTPUT CELL...

STRATEGY is `one`, `mirrored:N`, `workers:N` (told by TF_CONFIG) or `shared:N`: workers
that sum gradients through shared memory, not by TensorFlow. A CELL is written as `Cell`
writes it. The chief writes OUTPUT/CELL.npz; whoever fails writes
OUTPUT/CELL.WORKER.error.
"""

import contextlib
import faulthandler
import gc
import os
import pathlib
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from groups import FINISHED, OUT_OF_STEP, Cell

# A case that takes longer hangs.
CASE_SECONDS = 300


def main(strategy_name, output, *texts):
    strategy = make(strategy_name)
    import building

    building.worker = getattr(strategy.cluster_resolver, "task_id", 0) or 0
    building.strategy = strategy
    for cell in map(Cell.read, texts):
        began = time.monotonic(), time.process_time()
        faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
        building.output = pathlib.Path(output) / cell.folder
        building.output.mkdir(parents=True, exist_ok=True)
        print(f"begin {cell}", file=sys.stderr, flush=True)
        has_failed = not run(cell, strategy)
        if has_failed and strategy_name.startswith(("workers", "shared")):
            # Workers may be out of step now: the rest wants new processes.
            sys.exit(OUT_OF_STEP)
        faulthandler.cancel_dump_traceback_later()
        seconds, cpu = time.monotonic() - began[0], time.process_time() - began[1]
        print(
            f"end {cell} {seconds:.1f} s, {cpu:.1f} s of CPU",
            file=sys.stderr,
            flush=True,
        )
    cpu = time.process_time()
    print(f"{FINISHED}: {cpu:.1f} s of CPU", file=sys.stderr, flush=True)


def run(cell, strategy):
    """Writes the arrays of a cell, or its error; tells whether it went well."""
    import building
    import keras
    import numpy as np

    from kerascale.engine.collectives import packing
    from kerascale.engine.step import shared_update

    building.plain = cell.is_plain
    building.is_forced = bool(cell.form)
    is_mirrored = cell.strategy.startswith("mirrored")
    as_one = ("as_one", "one_program", "split")
    building.is_as_one = is_mirrored and cell.form in as_one
    building.case_name = cell.name
    os.environ.pop("KERASCALE_EXECUTION", None)
    if cell.form:
        is_loop = cell.form == "as_one"
        form = {"shares": "compiled"}.get(cell.form, cell.form)
        os.environ["KERASCALE_EXECUTION"] = "loop" if is_loop else form
    is_shared = cell.form == "shares"
    shared_update.LEAST_BYTES = -1 if is_shared else building.LARGE_BYTES
    packing.SMALL_BYTES = 64 if is_shared else building.SMALL_BYTES  # Biases.
    keras.config.set_floatx("float64" if cell.precision == "float64" else "float32")
    keras.utils.clear_session()  # It forgets the policy too, and collects garbage.
    # Looking for more in what stays would take a fifth of the time.
    gc.disable()
    gc.freeze()
    keras.config.set_dtype_policy(cell.precision)
    keras.utils.set_random_seed(7)
    try:
        # NAME@2 is NAME, run again.
        values = arrays(cell.name.removesuffix("@2"), strategy)
    except Exception:
        text = traceback.format_exc()
        print(text, file=sys.stderr)
        path = building.output / f"{cell.name}.{building.worker}.error"
        path.write_text(text)
        return False
    if building.worker == 0:
        np.savez(building.output / f"{cell.name}.npz", **known(values))
    return True


def arrays(name, strategy):
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


def make(name):
    """The strategy of a name; set up before anything else touches devices."""
    import tensorflow as tf

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
