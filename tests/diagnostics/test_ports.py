"""A port that is taken is wrong, and makes the whole examination wrong."""

import socket

from kerascale.diagnostics.doctor import network
from kerascale.diagnostics.doctor.findings import Report


def test_a_port_that_is_taken_is_wrong():
    with socket.socket() as server:
        server.bind(("", 0))
        server.listen(1)
        port = server.getsockname()[1]
        (taken,) = network.look_at_port(port)
    assert taken.level == "wrong"
    assert not Report((taken,))
    (free,) = network.look_at_port(port)
    assert free.level == "ok"
    assert Report((free,))
