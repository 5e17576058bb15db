"""Two devices in a process, on which cases are tried; a line of JSON for each.

    python devices.py MODULE NAME...

The module, beside this file, has `CASES`; a function of its name in `trying.py` says
what is done with one.
"""

import importlib
import json
import os
import pathlib
import sys


def in_one_process(forks, module, names, timeout=300):
    """Name -> what was seen of each case.

    Args:
        forks: The fixture.
        module: Name of a file beside this one.
        names: Those of its cases.
    """
    code, out, err = forks.run(
        [__file__, module, *names],
        cwd=os.getcwd(),
        env=dict(os.environ),
        timeout=timeout,
    )
    lines = [line for line in out.splitlines() if line.startswith("{")]
    found = {each.pop("name"): each for each in map(json.loads, lines)}
    assert code == 0, f"after {list(found)}: {err[-4000:]}"
    return found


def main(module, *names):
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    trying = importlib.import_module("helpers.slices.trying")
    cases = importlib.import_module(f"helpers.slices.{module}").CASES
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name in names:
        found = getattr(trying, module)(cases[name], strategy)
        print(json.dumps({"name": name, **found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
