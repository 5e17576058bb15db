"""Work that threads do ahead of who asks for it, in order and within bounds."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Of what is read and waits for its turn.
_MOST_BYTES = 64 * 2**20


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[tuple[int, Item]],
    jobs: int | None = None,
) -> Iterator[Result]:
    """The results of work on items, in their order.

    Args:
        work: Is called in threads.
        items: (bytes that the result takes, item).
        jobs: Threads; None: two for each core, which also wait for the disk.

    Raises:
        Exception: What `work` raises, at its turn.
    """
    jobs = 2 * len(os.sched_getaffinity(0)) if jobs is None else jobs
    waiting: collections.deque[tuple[int, Future[Result]]] = collections.deque()
    in_flight = 0
    pool = ThreadPoolExecutor(jobs)
    try:
        for size, item in items:
            while waiting and (
                len(waiting) >= 2 * jobs or in_flight + size > _MOST_BYTES
            ):
                done, future = waiting.popleft()
                in_flight -= done
                yield future.result()
            waiting.append((size, pool.submit(work, item)))
            in_flight += size
        while waiting:
            yield waiting.popleft()[1].result()
    finally:
        pool.shutdown(cancel_futures=True)
