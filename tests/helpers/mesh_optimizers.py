"""How optimizers begin on a mesh, beside Keras' own: python mesh_optimizers.py."""

import os

from kerascale.strategies import mesh_process

MESH = "data=2"


def _of_each_kind(keras):
    return {
        "zeros": keras.optimizers.AdamW(0.01, use_ema=True),
        "a constant": keras.optimizers.Adagrad(0.01),
        "numbers": keras.optimizers.Adam(0.01, loss_scale_factor=8.0),
        "sums": keras.optimizers.SGD(0.01, 0.9, gradient_accumulation_steps=2),
    }


def _begun(keras, optimizer, dtype, scaled):
    layers = [keras.layers.Dense(8, dtype=dtype), keras.layers.Dense(3, dtype=dtype)]
    model = scaled(keras.Sequential(layers))
    model.build((None, 4))
    model.compile(optimizer, "mse")
    return model


def main():
    import keras
    import numpy as np

    import kerascale as ks
    from kerascale.engine.mesh import prepare

    strategy = ks.strategies.get("fsdp", mesh=MESH)
    for dtype in ("float32", "bfloat16"):
        plain, ours = _of_each_kind(keras), _of_each_kind(keras)
        for name, optimizer in ours.items():
            with strategy.scope():
                model = _begun(keras, optimizer, dtype, ks.scale)
            prepare.place(model)
            other = _begun(keras, plain[name], dtype, lambda model: model)
            other.set_weights([np.asarray(v.value) for v in model.variables])
            plain[name].build(other.trainable_variables)
            pairs = zip(optimizer.variables, plain[name].variables, strict=True)
            for found, expected in pairs:
                at = f"{name}: {dtype}: {found.path}"
                assert found.value.dtype == expected.value.dtype, at
                assert np.array_equal(found.value, expected.value), at
                cut = any(size % 2 == 0 for size in found.shape)
                assert found.value.sharding.is_fully_replicated != cut, at


if __name__ == "__main__":
    os.environ.update(mesh_process.environment_for("fsdp", MESH, os.environ))
    main()
