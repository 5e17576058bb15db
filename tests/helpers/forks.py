"""Starts Python commands by a fork of a process that has imported TensorFlow already.

A command is a process of its own, with a session of its own, and can be killed; what it
is spared is the import, which takes longer than most of what is tested. The process
that is forked has only imported: it has run no operation of TensorFlow, which would
have started threads that a fork does not have, and nothing of kerascale is loaded in
it, so that all that kerascale reads from its environment is read anew.
"""

import contextlib
import dataclasses
import gc
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types

_IMPORTED = ("tensorflow", "keras", "pandas", "h5py", "tyro", "typeguard", "PIL.Image")
_LARGEST = 2**20

# Those that this process has started.
_started = []


class Forks:
    """Starts commands by the process that is forked.

    Args:
        path: Of its socket.
    """

    def __init__(self, path):
        self.path = path

    @classmethod
    def of_session(cls, tmp_path_factory, name, imports=_IMPORTED, env=None):
        """The one of the session: the first of its processes that asks starts it.

        Args:
            tmp_path_factory: The fixture.
            name: Of its folder.
            imports: Names of modules that it imports; one after a `-` cannot be
                imported.
            env: Variables that it is started with besides, for what it imports.
        """
        from helpers.shared import once  # Not in the process that is forked.

        def start(folder):
            # It ends with the process of pytest that started the others.
            is_one_of_many = "PYTEST_XDIST_WORKER" in os.environ
            session = os.getppid() if is_one_of_many else os.getpid()
            ours, theirs = os.pipe()
            command = [__file__, folder / "forks", theirs, session, *imports]
            process = subprocess.Popen(
                [sys.executable, *map(str, command)],
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs,),
                start_new_session=True,
            )
            _started.append(process)
            os.close(theirs)
            with os.fdopen(ours, "rb") as ready:
                assert ready.read() == b"ready"

        return cls(once(tmp_path_factory, name, start) / "forks")

    def start(self, arguments, *, cwd, env, stdout, stderr, stdin=None):
        """Starts what `python ARGUMENTS` would.

        Args:
            arguments: `-m` or `-c` or a file, as Python takes them.
            cwd: The working directory.
            env: All of its environment.
            stdout: Number of an open file.
            stderr: Number of an open file.
            stdin: Number of an open file; None: nothing can be read.
        """
        return Forked(self.path, arguments, cwd, env, stdout, stderr, stdin)

    def run(self, arguments, *, cwd, env, timeout=None):
        """(exit code, standard output, standard error) of a command, when it ended.

        After `timeout` seconds it is killed, and that is an error.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.start(
                arguments, cwd=cwd, env=env, stdout=out.fileno(), stderr=err.fileno()
            )
            code = process.wait(timeout)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        return code, *texts


class Forked:
    """A process that was forked. What it has of `subprocess.Popen` means the same."""

    def __init__(self, path, arguments, cwd, env, stdout, stderr, stdin=None):
        self.returncode = None
        request = {"arguments": list(map(str, arguments)), "cwd": str(cwd), "env": env}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        data = json.dumps(request).encode() + b"\n"
        files = [stdout, stderr] if stdin is None else [stdout, stderr, stdin]
        socket.send_fds(self._socket, [data[:1]], files)
        self._socket.sendall(data[1:])
        self._answers = self._socket.makefile("r")
        self.pid = int(self._answers.readline())

    def wait(self, timeout=None):
        if self.returncode is None:
            # It is readable too when the other end is closed.
            if not select.select([self._socket], [], [], timeout)[0]:
                self.kill()
                raise TimeoutError(f"expected it to end within {timeout} s")
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._socket.close()
        return self.returncode

    def poll(self):
        """Its exit code; None while it runs."""
        if self.returncode is None and select.select([self._socket], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def send_signal(self, number):
        if self.returncode is None:
            # It is gone as soon as it is killed.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)
        return self.wait()


def collect_rarely():
    """What is imported stays: it need not be looked through again and again.

    With a garbage collector that looks rarely, tracing takes a tenth less time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def _main(path, ready, session, *imports):
    for name in imports:
        if name.startswith("-"):
            sys.modules[name[1:]] = None
        else:
            __import__(name)
    collect_rarely()
    command = _serve(path, ready, int(session))
    if command is not None:  # Here is the process of a command.
        command.run()


def _serve(path, ready, session):
    """Answers until the session ends; returns in each process that it forks."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        os.write(int(ready), b"ready")
        os.close(int(ready))
        parent = os.getpid()
        if os.fork() == 0:
            # It kills the one that answers.
            with contextlib.suppress(ProcessLookupError):
                select.select([os.pidfd_open(session)], [], [])
            os.kill(parent, signal.SIGKILL)
            os._exit(0)
        while True:
            connection, _ = listening.accept()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if os.fork() == 0:
                listening.close()
                return _attend(connection)
            connection.close()


def _attend(connection):
    """Forks the command, and tells of it; returns in the command's process."""
    first, files, _, _ = socket.recv_fds(connection, 1, 3)
    data = first
    while not data.endswith(b"\n"):
        data += connection.recv(_LARGEST)
    pid = os.fork()
    if pid == 0:
        connection.close()
        return _Command(**json.loads(data), files=files)
    connection.sendall(f"{pid}\n".encode())
    ended = 0
    while not ended:
        # Whoever asked is gone: so is what was asked for.
        if select.select([connection], [], [], 0.02)[0]:
            os.kill(pid, signal.SIGKILL)
        ended, status = os.waitpid(pid, os.WNOHANG)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


@dataclasses.dataclass
class _Command:
    arguments: list[str]
    cwd: str
    env: dict[str, str]
    files: list[int]

    def run(self):
        os.setsid()
        stdout, stderr, *stdin = self.files
        stdin = stdin or [os.open(os.devnull, os.O_RDONLY)]
        for number, file in enumerate((*stdin, stdout, stderr)):
            os.dup2(file, number)
            os.close(file)
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.env)
        paths = self.env.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[1:1] = [path for path in paths if path and path not in sys.path]
        first, *rest = self.arguments
        if first == "-m":
            module, *rest = rest
            sys.argv, sys.path[0] = [module, *rest], self.cwd
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        elif first == "-c":
            code, *rest = rest
            sys.argv, sys.path[0] = ["-c", *rest], ""
            main = sys.modules["__main__"] = types.ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        else:
            sys.argv, sys.path[0] = [first, *rest], str(pathlib.Path(first).parent)
            runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
