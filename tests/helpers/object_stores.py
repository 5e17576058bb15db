"""Servers of the protocols of object stores, on this machine, for slow tests."""

import contextlib
import pathlib
import socket
import subprocess
import time

from helpers import serving_environments

_PACKAGES = ("moto[s3,server]==5.2.5", "gcp-storage-emulator==2026.7.19")


def environment(monkeypatch, s3=None, gs=None):
    """What a user sets to reach them."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": s3 or "http://127.0.0.1:9",
        "STORAGE_EMULATOR_HOST": gs or "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def serving():
    """`(S3's address, Google's address)` of two servers with a bucket `bucket`."""
    python = serving_environments.get("object-stores", _PACKAGES)
    programs = pathlib.Path(python).parent
    first, second = _port(), _port()
    commands = (
        [programs / "moto_server", "-H", "127.0.0.1", "-p", str(first)],
        [
            programs / "gcp-storage-emulator", "start", "--host", "127.0.0.1",
            "--port", str(second), "--in-memory", "--default-bucket", "bucket",
        ],
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for command in commands:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            server = stack.enter_context(subprocess.Popen(command, **quiet))
            stack.callback(server.kill)
        for port in (first, second):
            _wait_for(port)
        yield f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"


def _port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _wait_for(port, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.2)
