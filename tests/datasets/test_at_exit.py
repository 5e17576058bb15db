"""A script that ends while its batches are read ahead waits for those who read."""

import threading

import pytest

from kerascale.datasets.at_exit import Calls, EndedError


def test_the_end_waits_for_who_reads_and_refuses_who_comes():
    # Python that ends answers no thread, and whoever waits for that waits for ever.
    calls, reads, may_end = Calls(), threading.Event(), threading.Event()
    read = []

    def reading():
        reads.set()
        may_end.wait(10)
        read.append(threading.current_thread())

    reader = threading.Thread(target=calls.made, args=(reading, ()))
    reader.start()
    reads.wait(10)
    ending = threading.Thread(target=calls.end)
    ending.start()
    ending.join(0.3)
    assert ending.is_alive()
    may_end.set()
    ending.join(10)
    assert read
    assert not ending.is_alive()
    with pytest.raises(EndedError):
        calls.made(reading, ())
    reader.join()


def test_without_a_call_the_end_is_at_once():
    ending = threading.Thread(target=Calls().end)
    ending.start()
    ending.join(0.05)
    assert not ending.is_alive()
