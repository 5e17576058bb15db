"""Two devices in a process, on which cases are tried; a line of JSON for each.

    python devices.py MODULE.NAME...

A module, beside this file, has `CASES`; a function of its name in `trying.py` says what
is done with one.
"""

import importlib
import json
import os
import pathlib
import sys
import traceback

import pytest


def parameters(cases, default):
    """Each case as a parameter; those that are not tried by default are `slow`.

    Args:
        cases: Names.
        default: Those that are.
    """
    return [
        name if name in default else pytest.param(name, marks=pytest.mark.slow)
        for name in cases
    ]


def chosen(request, names):
    """Those of some names that a session has a test of, in their order.

    Args:
        request: That of a fixture.
        names: `MODULE.NAME` of each, where no two have one NAME.
    """
    wanted = {
        item.callspec.params.get("name")
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    return [name for name in names if name.partition(".")[2] in wanted]


class Seen(dict):
    """What was seen of a case: asked for something else, it says what was raised."""

    def __missing__(self, key):
        raise AssertionError(self.get("raised", f"nothing was seen of {key}"))


def in_one_process(forks, names, timeout=300):
    """Name -> what was seen of each case.

    Args:
        forks: The fixture.
        names: `MODULE.NAME` of each.
        timeout: Seconds.
    """
    code, out, err = forks.run(
        [__file__, *names], cwd=os.getcwd(), env=dict(os.environ), timeout=timeout
    )
    lines = [line for line in out.splitlines() if line.startswith("{")]
    found = {each.pop("name"): Seen(each) for each in map(json.loads, lines)}
    assert code == 0, f"after {list(found)}: {err[-4000:]}"
    return found


def main(*names):
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    trying = importlib.import_module("helpers.slices.trying")
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for name in names:
        module, _, case = name.partition(".")
        cases = importlib.import_module(f"helpers.slices.{module}").CASES
        try:
            found = getattr(trying, module)(cases[case], strategy)
        except Exception:  # The test of this case fails, and no other.
            found = {"raised": traceback.format_exc()}
        print(json.dumps({"name": case, **found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
