"""Runs requests in threads, and joins those whose rows fit together.

The queue belongs to the event loop alone. A batch is closed when it is full, or when
its first request has waited long enough and a thread is free: while the threads are
busy it grows, so that joining costs no time where there is no load.
"""

import asyncio
import bisect
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from kerascale.serving.server.metrics import Metrics
from kerascale.serving.server.settings import Batching
from kerascale.serving.server.signatures import Signature, join, split
from kerascale.serving.server.status import StatusError

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(eq=False)
class _Task:
    """A request's part of a batch; `rows` is None where it cannot be joined."""

    signature: Signature
    arrays: Arrays
    rows: int | None
    due: float
    answer: asyncio.Future[Arrays]


class Runner:
    """Runs signatures on inputs.

    Args:
        batching: How requests are joined.
        max_queued: Requests that may wait.
        metrics: Counts what is run.
    """

    def __init__(self, batching: Batching, max_queued: int, metrics: Metrics) -> None:
        self._batching = batching
        self._max_queued = max_queued
        self._metrics = metrics
        self._threads = concurrent.futures.ThreadPoolExecutor(
            batching.threads, thread_name_prefix="kerascale-serve"
        )
        self._free = batching.threads
        self._groups: dict[Hashable, list[_Task]] = {}
        self._queued = 0
        self._is_scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, signature: Signature, arrays: Arrays) -> Arrays:
        """The outputs of a signature for these inputs.

        Raises:
            StatusError: If TensorFlow reports an error, or too many requests wait.
        """
        if self._queued - self._free >= self._max_queued:
            raise StatusError(
                "UNAVAILABLE",
                f"The server has {self._queued} requests waiting, and takes no more. "
                "Try again later.",
            )
        loop = asyncio.get_running_loop()
        rows = signature.rows(arrays) if self._batching.enabled else None
        if rows is not None and not 0 < rows < self._batching.max_batch_size:
            rows = None
        wait = 0.0 if rows is None else self._batching.timeout_seconds
        task = _Task(signature, arrays, rows, loop.time() + wait, loop.create_future())
        self._groups.setdefault(self._key(task), []).append(task)
        self._count(+1)
        self._schedule()
        return await task.answer

    def close(self) -> None:
        """Waits for what runs, and ends the threads."""
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _key(self, task: _Task) -> Hashable:
        """The same for tasks that can be one batch."""
        if task.rows is None:
            return task
        shapes = (
            (name, array.dtype.str, array.shape[1:])
            for name, array in sorted(task.arrays.items())
        )
        return (id(task.signature), *shapes)

    def _count(self, change: int) -> None:
        self._queued += change
        self._metrics.queued.set(self._queued)

    def _schedule(self) -> None:
        """Looks at the queue once all requests that have come by now are in it."""
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._is_scheduled = False
        loop = asyncio.get_running_loop()
        while self._free:
            key = self._ready(loop.time())
            if key is None:
                break
            batch = self._take(key)
            if batch:
                self._free -= 1
                running = loop.run_in_executor(self._threads, self._execute, batch)
                running.add_done_callback(
                    lambda done, batch=batch: self._finish(batch, done)
                )
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._free and self._groups:
            due = min(tasks[0].due for tasks in self._groups.values())
            self._timer = loop.call_at(due, self._dispatch)

    def _ready(self, now: float) -> Hashable | None:
        """The group that has waited longest, of those that wait no more."""
        ready = (
            (tasks[0].due, number, key)
            for number, (key, tasks) in enumerate(self._groups.items())
            if tasks[0].due <= now
            or sum(task.rows or 0 for task in tasks) >= self._batching.max_batch_size
        )
        first = min(ready, key=lambda each: each[:2], default=None)
        return None if first is None else first[2]

    def _take(self, key: Hashable) -> list[_Task]:
        """As many tasks of a group as one batch holds, without those given up."""
        tasks = self._groups.pop(key)
        sizes = itertools.accumulate(task.rows or 0 for task in tasks)
        count = max(1, bisect.bisect_right(list(sizes), self._batching.max_batch_size))
        if tasks[count:]:
            self._groups[key] = tasks[count:]
        self._count(-count)
        return [task for task in tasks[:count] if not task.answer.done()]

    def _execute(self, batch: Sequence[_Task]) -> list[Arrays | BaseException]:
        """In a thread: an answer, or an error, for each task."""
        if len(batch) > 1:
            try:
                return self._execute_joined(batch)
            except Exception:
                # One of them, or all: each is tried for itself.
                pass
        return [self._execute_alone(task) for task in batch]

    def _execute_joined(self, batch: Sequence[_Task]) -> list[Arrays | BaseException]:
        sizes = [task.rows or 0 for task in batch]
        arrays = join([task.arrays for task in batch])
        total = sum(sizes)
        self._metrics.batch_rows.observe(total)
        outputs = batch[0].signature.run(_fill_up(arrays, total, self._batching.sizes))
        return list(split(outputs, sizes))

    def _execute_alone(self, task: _Task) -> Arrays | BaseException:
        self._metrics.batch_rows.observe(task.rows or _rows(task.arrays))
        try:
            return task.signature.run(task.arrays)
        except Exception as error:
            return error

    def _finish(
        self,
        batch: Sequence[_Task],
        done: asyncio.Future[list[Arrays | BaseException]],
    ) -> None:
        self._free += 1
        if done.cancelled():
            answers = [StatusError("UNAVAILABLE", "The server is ending.")] * len(batch)
        else:
            answers = done.result()
        for task, answer in zip(batch, answers, strict=True):
            if task.answer.done():
                continue
            if isinstance(answer, BaseException):
                task.answer.set_exception(answer)
            else:
                task.answer.set_result(answer)
        self._dispatch()


def _rows(arrays: Mapping[str, np.ndarray]) -> int:
    return max((len(array) for array in arrays.values() if array.ndim), default=1)


def _fill_up(arrays: Arrays, rows: int, sizes: Sequence[int]) -> Arrays:
    """Repeats the first row until the batch has one of the sizes."""
    larger = [size for size in sizes if size >= rows]
    if not larger or larger[0] == rows:
        return arrays
    return {
        name: np.concatenate([array, np.repeat(array[:1], larger[0] - rows, axis=0)])
        for name, array in arrays.items()
    }
