"""Strategies by name: what is chosen, and what is refused with the way out."""

import os

import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.strategies import select


@pytest.fixture
def environment(monkeypatch):
    """No cluster and no devices asked for; nothing made before."""
    for name in ("TF_CONFIG", "TPU_NAME", "KERASCALE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(select, "_made", None)
    return monkeypatch


def test_unknown_names_are_refused():
    with pytest.raises(ks.RefusedError, match=r"expected auto, .*Received: 'mirored'"):
        ks.strategies.get("mirored")


def test_auto_says_what_it_chose_and_why(environment, capsys):
    assert ks.strategies.get("auto").num_replicas_in_sync == 1
    assert "strategy: one_device (auto: no GPU" in capsys.readouterr().err


def test_workers_need_tf_config(environment):
    with pytest.raises(ks.RefusedError, match=r"no TF_CONFIG.*kerascale launch"):
        ks.strategies.get("multi_worker_mirrored")


def test_bad_tf_config_is_refused_before_tensorflow_sees_it(environment):
    environment.setenv("TF_CONFIG", '{"task": {"type": "worker", "index": 0}}')
    with pytest.raises(ks.RefusedError, match="TF_CONFIG: cluster: expected"):
        ks.strategies.get("auto")


def test_devices_must_be_a_number(environment):
    environment.setenv("KERASCALE_DEVICES", "two")
    with pytest.raises(ks.RefusedError, match=r"integer >= 1. Received: 'two'"):
        ks.strategies.get("auto")


def test_a_strategy_after_tensorflow_has_started_is_refused(environment):
    tf.constant(0)
    environment.setenv("KERASCALE_DEVICES", "3")
    with pytest.raises(ks.RefusedError, match="before anything else of TensorFlow"):
        ks.strategies.get("mirrored")


def test_second_strategy_is_refused(environment):
    environment.setattr(select, "_made", ("tpu", object()))
    with pytest.raises(ks.RefusedError, match="mirrored, where tpu was made before"):
        ks.strategies.get("mirrored")


class FakeResolver:
    """A TPU resolver that finds nothing, or that finds a TPU which does not answer."""

    def __init__(self, master="grpc://10.0.0.2:8470"):
        self._master = master

    def master(self):
        return self._master


def test_tpu_that_cannot_be_resolved(environment):
    def resolve(name):
        raise ValueError("Please provide a TPU Name to connect to.")

    environment.setattr(select, "_resolve_tpu", resolve)
    with pytest.raises(
        ks.RefusedError, match=r"Please provide a TPU Name.*--tpu NAME, or set TPU_NAME"
    ):
        ks.strategies.get("tpu", tpu="mine")


def test_tpu_is_connected_initialised_and_used(environment):
    resolver, steps, made = FakeResolver(), [], object()

    def resolve(name):
        steps.append(("resolve", name))
        return resolver

    environment.setattr(select, "_resolve_tpu", resolve)
    environment.setattr(
        tf.config,
        "experimental_connect_to_cluster",
        lambda r: steps.append(("connect", r)),
    )
    environment.setattr(
        tf.tpu.experimental,
        "initialize_tpu_system",
        lambda r: steps.append(("initialise", r)),
    )
    environment.setattr(tf.distribute, "TPUStrategy", lambda r: made)
    assert ks.strategies.get("tpu", tpu="mine") is made
    assert steps == [
        ("resolve", "mine"),
        ("connect", resolver),
        ("initialise", resolver),
    ]
    # And it is the one of this process.
    assert ks.strategies.get("tpu") is made


def test_tpu_of_this_host_is_not_connected_to(environment):
    environment.setattr(select, "_resolve_tpu", lambda name: FakeResolver(""))
    environment.setattr(
        tf.config,
        "experimental_connect_to_cluster",
        lambda r: pytest.fail("connected"),
    )

    def no_tpu(resolver):
        raise tf.errors.NotFoundError(None, None, "No registered 'ConfigureTPU'")

    environment.setattr(tf.tpu.experimental, "initialize_tpu_system", no_tpu)
    with pytest.raises(ks.RefusedError, match=r"a TPU that answers.*No registered"):
        ks.strategies.get("tpu")


def test_parameter_servers_are_refused():
    class Stub(tf.distribute.ParameterServerStrategy):
        def __init__(self):
            pass

    with pytest.raises(ks.RefusedError, match="replicas are in step"):
        ks.strategies.get(Stub())


def test_cpu_is_split_and_auto_takes_it(run_python):
    run_python(
        """
import kerascale as ks
strategy = ks.strategies.get("auto")
assert strategy.num_replicas_in_sync == 3
assert ks.strategies.describe(strategy) == {
    "strategy": "mirrored", "replicas": 3, "workers": 1}
assert ks.strategies.get("mirrored") is strategy
with strategy.scope():
    try:
        ks.strategies.get("one_device")
    except ks.RefusedError as error:
        assert "outside of any strategy's scope" in str(error)
""",
        env={"KERASCALE_DEVICES": "3", "PATH": os.environ["PATH"]},
        imported=True,
    )
