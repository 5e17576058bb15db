"""A server in a process of its own, as a user starts it, and a client."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.parse


class Server:
    """A running `kerascale serve`, whose address is known."""

    def __init__(self, process, address, log):
        self.process = process
        self.address = address
        self.log = log
        self.host, port = urllib.parse.urlsplit(address).netloc.split(":")
        self.port = int(port)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, text of the body, headers)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        with contextlib.closing(connection):
            if body is not None and not isinstance(body, bytes | str):
                body = json.dumps(body)
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read().decode("utf-8"), response.headers

    def json(self, method, path, body=None):
        """(status, document)."""
        status, text, _ = self.request(method, path, body)
        return status, json.loads(text)

    def predict(self, model, body, where=""):
        return self.json("POST", f"/v1/models/{model}{where}:predict", body)

    def said(self):
        return self.log.read_text()

    def stop(self, number=signal.SIGTERM, timeout=60):
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def threads_and_memory(self):
        """(number of threads, resident bytes)."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        facts = dict(line.split(":", 1) for line in status.splitlines())
        return int(facts["Threads"]), int(facts["VmRSS"].split()[0]) * 1024


@contextlib.contextmanager
def serving(base, *flags, log, forks=None):
    """A server of a folder, until the block ends.

    Args:
        base: The folder.
        flags: Of the command.
        log: Where its standard error is kept.
        forks: Starts it by a fork; None: in a new process.
    """
    command = ["-m", "kerascale", "serve", base, "--port", 0, "--json", *flags]
    out, printed = os.pipe()
    with open(out) as output, open(log, "wb") as errors:
        try:
            process = _started(list(map(str, command)), printed, errors.fileno(), forks)
        finally:
            os.close(printed)
        try:
            line = output.readline()
            assert line, pathlib.Path(log).read_text()
            yield Server(process, json.loads(line)["address"], pathlib.Path(log))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _started(command, stdout, stderr, forks):
    environ = dict(os.environ)
    if forks is None:
        command = [sys.executable, *command]
        return subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environ)
    return forks.start(
        command, cwd=os.getcwd(), env=environ, stdout=stdout, stderr=stderr
    )


def until(condition, seconds=60):
    """Waits for a condition; fails if it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} seconds: {condition}")


def together(functions):
    """Runs functions at the same time, in threads; their results in order."""
    results = [None] * len(functions)
    barrier = threading.Barrier(len(functions))

    def run(i, function):
        barrier.wait()
        try:
            results[i] = function()
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
