"""Object stores for tests: a folder, and for slow ones servers of the protocols."""

import contextlib
import pathlib
import socket
import subprocess
import time

import pyarrow.fs

from helpers import serving_environments

_PACKAGES = ("moto[s3,server]==5.2.5", "gcp-storage-emulator==2026.7.19")


class FolderStore:
    """A folder that is what pyarrow has for a store, and notes what is done to it.

    Args:
        root: The folder; those in it are buckets.
    """

    def __init__(self, root):
        self._files = pyarrow.fs.SubTreeFileSystem(
            str(root), pyarrow.fs.LocalFileSystem()
        )
        self.opened = []
        self.num_changes = 0
        # Called with its path before an object is read.
        self.before_read = lambda path: None
        # Called before an object is written or removed.
        self.before_change = lambda number: None

    def __getattr__(self, name):
        return getattr(self._files, name)

    def open_input_stream(self, path):
        self.opened.append(path)
        self.before_read(path)
        return self._files.open_input_stream(path)

    def open_output_stream(self, path):
        self._changes()
        self._files.create_dir(path.rpartition("/")[0])
        return self._files.open_output_stream(path)

    def delete_file(self, path):
        self._changes()
        self._files.delete_file(path)

    def _changes(self):
        self.num_changes += 1
        self.before_change(self.num_changes)


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
