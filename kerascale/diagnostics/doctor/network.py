"""The cluster that TF_CONFIG names, and a port."""

import os
import socket
from collections.abc import Mapping

from kerascale.diagnostics.doctor.findings import Finding
from kerascale.errors import RefusedError
from kerascale.launch.environment import free_ports
from kerascale.strategies import tf_config

_PATIENCE_SECONDS = 2.0


def look_at_cluster(environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """Reads TF_CONFIG as training does, and asks for the hosts that it names.

    Args:
        environ: Environment variables.
    """
    try:
        found = tf_config.from_environment(environ)
        if found is None:
            return [Finding("TF_CONFIG", "ok", "not set: one process")]
        tf_config.refuse_unreachable(found, patience_seconds=_PATIENCE_SECONDS)
    except RefusedError as error:
        return [
            Finding(
                "TF_CONFIG",
                "wrong",
                problem.removeprefix("TF_CONFIG: "),
                "Mend TF_CONFIG, or unset it to train in one process.",
            )
            for problem in error.problems
        ]
    values = {"workers": list(found.workers), "index": found.index}
    return [Finding("TF_CONFIG", "ok", f"this is {found.name}", "", values)]


def look_at_port(port: int | None) -> list[Finding]:
    """Whether a port is free.

    Args:
        port: Its number; None: whether any can be opened.
    """
    if port is None:
        try:
            free_ports(1)
        except OSError as error:
            found = f"none can be opened ({error.strerror})"
            mend = "Workers of one job talk through ports: let this process open them."
            return [Finding("port", "wrong", found, mend)]
        return [Finding("port", "ok", "ports can be opened (--port N looks at one)")]
    values = {"port": port}
    with socket.socket() as server:
        # A port whose last connection has just ended is as good as free.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
            server.listen(1)
        except OSError as error:
            found = f"{port} cannot be opened ({error.strerror})"
            mend = (
                f"Stop what uses it (ss -ltnp 'sport = :{port}' shows it), or take "
                f"another port, such as {free_ports(1)[0]}."
            )
            return [Finding("port", "wrong", found, mend, values)]
    return [Finding("port", "ok", f"{port} is free", "", values)]
