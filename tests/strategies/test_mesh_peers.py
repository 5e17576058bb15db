"""Processes of a cluster share the devices of a mesh. It needs no JAX."""

import json
import types

import pytest

import kerascale as ks
from kerascale.strategies import mesh_peers, mesh_process


def _cluster(*addresses):
    cluster = {"worker": addresses}
    task = {"type": "worker", "index": 0}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


_OF_TWO = _cluster("host0:2222", "host1:2222")


def test_processes_share_the_devices_of_a_mesh(monkeypatch):
    monkeypatch.setattr(mesh_process, "refuse_without_jax", lambda strategy: None)
    after = mesh_process.environment_for("fsdp", "data=2,model=2", _OF_TWO)
    assert after["XLA_FLAGS"].endswith("device_count=2")
    with pytest.raises(ks.RefusedError, match=r"2 processes share evenly.* data=3"):
        mesh_process.environment_for("fsdp", "data=3", _OF_TWO)


def test_processes_are_those_of_the_cluster():
    assert mesh_peers.count({}) == 1
    assert mesh_peers.count(_OF_TWO) == 2
    assert mesh_peers.here() == mesh_peers.Peers(1, 0)


def test_workers_of_an_estimate_are_devices_and_no_processes():
    asked = types.SimpleNamespace(strategy="fsdp", mesh="data=4", workers=2)
    assert "expected 1 with --strategy" in mesh_process.problems_of(asked)[0]
    assert not mesh_process.problems_of(asked, in_processes=True)
