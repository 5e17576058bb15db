"""What a device takes: python mesh_memory.py RECIPE STRATEGY MESH FIELDS REMAT.

One line of JSON: bytes of a device as `estimate` says them, and as seen: what is
held between steps, and what the process took more while it ran some.
"""

import gc
import json
import os
import pathlib
import sys

from kerascale.strategies import mesh_process


def _status(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(x.split()[1]) for x in lines if x.startswith(f"{key}:"))


def main(name, strategy, mesh, fields, remat):
    import kerascale as ks
    from kerascale.config.fields import from_dict
    from kerascale.engine.mesh import memory
    from kerascale.runtime import free_memory
    from kerascale.training.build import make_datasets, make_model

    recipe = ks.load_recipe(name)
    config = from_dict(recipe.Config, json.loads(fields))
    estimate = ks.estimate(recipe, config, strategy=strategy, mesh=mesh, remat=remat)
    placed = ks.strategies.get(strategy, mesh=mesh, remat=remat)
    data = make_datasets(recipe, config)
    with placed.scope():
        model = make_model(recipe, config, data)

    def steps():
        count = min(2 * estimate.steps_per_call, data.steps_per_epoch)
        model.fit(data.train, steps_per_epoch=count, verbose=0)

    steps()
    gc.collect()  # The model of the estimate.
    free_memory.give_back()
    before = _status("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # The peak begins anew.
    steps()
    peak = _status("VmHWM")
    held = memory.held_bytes((*model.variables, *model.optimizer.variables))
    seen = (peak - before) / placed.mesh.size + held
    print(json.dumps({"estimated": estimate.device_bytes, "seen": seen, "held": held}))


if __name__ == "__main__":
    os.environ.update(
        mesh_process.environment_for(sys.argv[2], sys.argv[3], os.environ)
    )
    main(*sys.argv[1:])
