"""Processes in which clients train, some at once; one that ends drops its client."""

import os
import pathlib
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerascale.errors import RefusedError
from kerascale.launch.module_process import ModuleProcess
from kerascale.trust.federated import frames

_MODULE = "kerascale.trust.federated.worker"


class ClientDroppedError(Exception):
    """A client that gives no answer in this round. Its text is the reason."""


class Process(ModuleProcess):
    """One process, in which one client after the other trains.

    Args:
        hello: What it makes data and model of.
        lifeline: See `ModuleProcess`.
        log: See `ModuleProcess`.
    """

    def __init__(
        self, hello: Mapping[str, Any], lifeline: int, log: pathlib.Path
    ) -> None:
        super().__init__(_MODULE, lifeline, log)
        self._hello = hello
        self._is_ready = False

    def make_ready(self) -> None:
        """Waits until data and model are made.

        Raises:
            RefusedError: If they cannot be.
            ClientDroppedError: If the process has ended.
        """
        if self._is_ready:
            return
        answer, _ = self._ask(self._hello, {}, None)
        if answer["is"] == "refused":
            raise RefusedError(answer["problems"], heading="federated")
        self._is_ready = True

    def train(
        self,
        client: int,
        round_number: int,
        weights: Mapping[str, np.ndarray],
        timeout: float | None,
    ) -> tuple[dict[str, np.ndarray], float]:
        """What a client makes of the weights, and its loss.

        Raises:
            ClientDroppedError: If there is no answer.
        """
        job = {"client": client, "round": round_number}
        answer, arrays = self._ask(job, weights, timeout)
        if answer["is"] == "failed":
            raise ClientDroppedError(answer["reason"])
        return arrays, answer["loss"]

    def _ask(
        self, message: Mapping[str, Any], arrays: Mapping, timeout: float | None
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        late = threading.Event()

        def kill() -> None:
            late.set()
            self.kill()

        clock = threading.Timer(timeout, kill) if timeout is not None else None
        if clock is not None:
            clock.start()
        try:
            frames.write(self.stdin, message, arrays)
            return frames.read(self.stdout)
        except (EOFError, OSError) as error:
            how = self.end()
            reason = f"its process ended: {how}"
            if late.is_set():
                reason = f"no answer within {timeout:g} s"
            raise ClientDroppedError(reason) from error
        finally:
            if clock is not None:
                clock.cancel()


class Processes:
    """So many processes, and the clients that wait for one.

    Args:
        hello: See `Process`.
        count: How many.
        log: See `Process`.
    """

    def __init__(self, hello: Mapping[str, Any], count: int, log: pathlib.Path) -> None:
        self._hello, self._log = hello, log
        self._lifeline, self._own_end = os.pipe()
        self.running: list[Process | None] = [None] * count

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.running:
            if process is not None:
                process.end()
        os.close(self._own_end)
        os.close(self._lifeline)

    def round(
        self,
        clients: Sequence[int],
        round_number: int,
        weights: Mapping[str, np.ndarray],
        timeout: float | None,
    ) -> tuple[dict[int, tuple[dict[str, np.ndarray], float]], dict[int, str]]:
        """Lets clients train, each in the process that is free first.

        Returns:
            Client -> its answer; and client -> why it dropped out.

        Raises:
            RefusedError: If a process cannot make data and model.
        """
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for client in clients:
            waiting.put(client)
        answers: dict[int, Any] = {}
        dropped: dict[int, str] = {}
        failures: list[BaseException] = []

        def serve(place: int) -> None:
            while not failures:
                try:
                    client = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    process = self._of(place)
                    answers[client] = process.train(
                        client, round_number, weights, timeout
                    )
                except ClientDroppedError as error:
                    dropped[client] = str(error)
                    self._forget_ended(place)
                except BaseException as error:
                    failures.append(error)

        threads = [
            threading.Thread(target=serve, args=(i,), daemon=True)
            for i in range(min(len(self.running), len(clients)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return answers, dropped

    def _of(self, place: int) -> Process:
        if self.running[place] is None:
            self.running[place] = Process(self._hello, self._lifeline, self._log)
        self.running[place].make_ready()
        return self.running[place]

    def _forget_ended(self, place: int) -> None:
        process = self.running[place]
        if process is not None and process.has_ended:
            self.running[place] = None
