"""A real Prometheus that watches a real run, with the shipped rules, a minute a second.

What the rules say in minutes is written into them in seconds, so that an alert that
fires after ten minutes fires after ten seconds here.
"""

import contextlib
import json
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

from kerascale.runtime.prometheus import shipped_files

_SPEED = 60
_UNITS = {"s": 1, "m": 60, "h": 3600}


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _quick(text):
    """Rules in which a minute is a second."""

    def duration(match):
        before, number, unit = match.groups()
        milliseconds = int(number) * _UNITS[unit] * 1000 // _SPEED
        return f"{before}{milliseconds}ms"

    text, count = re.subn(r"(\[|for: |offset )(\d+)([smh])\b", duration, text)
    assert count > 10
    # Seconds without a unit: ages, and the time that a scrape takes to give up.
    text, count = re.subn(r"(> |< )600\b", r"\g<1>10", text)
    assert count == 2
    return text.replace("scrape_duration_seconds > 4", "scrape_duration_seconds > 0.2")


class Prometheus:
    """A server of its own.

    Args:
        program: The program.
        folder: Where it writes.
        port: The port of the run that it watches.
    """

    def __init__(self, program, folder, port):
        shipped_files.write(folder, f"127.0.0.1:{port}")
        rules = pathlib.Path(folder) / shipped_files.ALERTS
        rules.write_text(_quick(rules.read_text()))
        configuration = pathlib.Path(folder) / shipped_files.CONFIGURATION
        text = configuration.read_text().replace("    scrape_interval: 15s\n", "")
        names = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        every = json.dumps(dict.fromkeys(names, "250ms"))
        configuration.write_text(f"global: {every}\n{text}")
        self._port = free_port()
        self._log = open(pathlib.Path(folder) / "prometheus.log", "w")
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def query(self, expression):
        """Labels -> value."""
        query = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self._port}/api/v1/query?{query}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in result
        }

    def firing(self):
        """The alerts that fire now."""
        return {
            dict(labels)["alertname"]
            for labels in self.query('ALERTS{alertstate="firing"}')
        }

    def fired(self):
        """The alerts that have fired at any time."""
        return {
            dict(labels)["alertname"]
            for labels in self.query('last_over_time(ALERTS{alertstate="firing"}[1h])')
        }

    def close(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()


def wait_until(condition, seconds, why=""):
    """Waits for something that must come."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError):  # It is not there yet.
            if condition():
                return
        time.sleep(0.1)
    raise AssertionError(f"{why or condition} did not come within {seconds} s")


class Run:
    """A run in the background.

    Args:
        runner: Makes its command.
        run_dir: Its folder.
        port: Where it exports.
        arguments: More of the command line.
        **options: See `Runner`.
    """

    def __init__(self, runner, run_dir, port, *arguments, events="", **options):
        self._environ = options.pop("environ", {})
        self._log = open(runner.folder / "run.log", "w")
        self.process = subprocess.Popen(
            runner.command(run_dir, *arguments, "--metrics-port", port, **options),
            cwd=runner.folder,
            env=runner.environ(events=events, **self._environ),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def text(self):
        return pathlib.Path(self._log.name).read_text()

    def pids(self):
        """The workers of a job, each time that it was started."""
        return [
            int(pid) for pid in re.findall(r"worker \d+ \(process (\d+)\)", self.text())
        ]

    def end(self, seconds=60):
        """Its exit code, when it has ended."""
        return self.process.wait(seconds)

    def close(self):
        # Through launch, the workers end with it.
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self._log.close()
