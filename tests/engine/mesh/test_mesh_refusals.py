"""What cannot be trained on a mesh is refused, with the way out. It needs no JAX."""

import types

import keras
import pytest

import kerascale as ks
from kerascale.engine.mesh import preconditions
from kerascale.strategies.mesh import parse
from kerascale.strategies.model_parallel import ModelParallel
from kerascale.training import preconditions as of_training


def test_a_batch_that_the_axis_does_not_divide():
    preconditions.refuse_undivided_batch(96, 8)
    with pytest.raises(ks.RefusedError, match=r"multiple of 8.* 100\. Use 96 or 104"):
        preconditions.refuse_undivided_batch(100, 8)


def test_changes_of_a_training_and_forms_of_execution():
    config = types.SimpleNamespace(
        teacher="runs/a", prune=None, dp_clip=1.0, execution="split"
    )
    strategy = ModelParallel(parse("data=2"), fully_sharded=True)
    with pytest.raises(ks.RefusedError) as caught:
        of_training.refuse_on_a_mesh(config, strategy)
    text = str(caught.value)
    assert "teacher: expected none with the strategy fsdp" in text
    assert "dp_clip: expected none" in text
    assert "execution: expected auto, fixed or one_program on a mesh" in text
    of_training.refuse_on_a_mesh(config, "one_device")


def test_optimizers_and_layers():
    model = ks.scale(
        keras.Sequential([keras.Input((4, 3), 2), keras.layers.LSTM(2, stateful=True)])
    )
    model.compile("adam", "mse", run_eagerly=True)
    with pytest.raises(ks.RefusedError) as caught:
        preconditions.refuse(model)
    assert "stateful=True. Leave it out" in str(caught.value)
    assert "run_eagerly: expected False" in str(caught.value)
