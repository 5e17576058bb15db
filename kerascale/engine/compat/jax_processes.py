"""Private names of JAX by which processes meet, with the test that guards them.

Processes of a mesh meet by `jax.distributed`. What they tell one another outside of
programs goes through the service of the first one, which JAX has no public name for:
it needs no device and no compiled program, and waits as long as it is told to.
"""

import functools

import jax
from jax._src import distributed, xla_bridge
from jaxlib import _jax

# Guarded by tests/engine/mesh/test_mesh_processes.py

# From the last sign of life of a process to the end of the others.
_LOST_SECONDS = 30


def join(address: str, host: str, count: int, index: int, timeout: float) -> None:
    """Meets the other processes; devices of all of them are seen then.

    Args:
        address: `host:port` of the first one.
        host: Where the others reach this one, a name or an address.
        count: How many there are.
        index: Which of them this one is.
        timeout: Seconds in which all must have come.

    Raises:
        RuntimeError: If they have not, or JAX has devices already.
    """
    # It would take SIGTERM, on which a run saves its state.
    jax.config.update("jax_enable_preemption_service", False)
    # Of which none is asked for the way to these.
    jax.config.update("jax_check_proxy_envs", False)
    jax.distributed.initialize(
        address,
        num_processes=count,
        process_id=index,
        cluster_detection_method="deactivate",
        initialization_timeout=max(1, round(timeout)),
        heartbeat_timeout_seconds=_LOST_SECONDS,
    )
    if jax.config.jax_cpu_collectives_implementation == "gloo":
        # It would listen where the name of this host leads to: often to itself.
        reached = _jax.make_gloo_tcp_collectives(
            distributed_client=distributed.global_state.client, hostname=host
        )
        xla_bridge.register_backend_factory(
            "cpu",
            functools.partial(xla_bridge.make_cpu_client, reached),
            fail_quietly=False,
        )


def exchange(name: str, payload: bytes, timeout: float) -> list[bytes]:
    """What every process has said under a name. All of them call it.

    Args:
        name: Of this exchange alone.
        payload: What this one says.
        timeout: Seconds in which the others must come.

    Raises:
        RuntimeError: If they do not.
    """
    state = distributed.global_state
    client, milliseconds = state.client, round(timeout * 1000)
    client.key_value_set_bytes(f"{name}/{state.process_id}", payload)
    return [
        payload
        if index == state.process_id
        else client.blocking_key_value_get_bytes(f"{name}/{index}", milliseconds)
        for index in range(state.num_processes)
    ]


def say(name: str, payload: bytes) -> None:
    """Tells all something under a name."""
    distributed.global_state.client.key_value_set_bytes(name, payload)


def hear(name: str, timeout: float) -> bytes | None:
    """What somebody says under a name; None: it did not come in so many seconds.

    Raises:
        RuntimeError: If the first process is not reached.
    """
    client = distributed.global_state.client
    try:
        return client.blocking_key_value_get_bytes(name, round(timeout * 1000))
    except RuntimeError as error:
        if "DEADLINE_EXCEEDED" in str(error):
            return None
        raise


def forget_all(name: str) -> None:
    """Removes what was said under names that begin so, up to a `/`."""
    distributed.global_state.client.key_value_delete(name)


def forget(name: str) -> None:
    """Removes what this process said in an exchange that all have left."""
    state = distributed.global_state
    state.client.key_value_delete(f"{name}/{state.process_id}")
