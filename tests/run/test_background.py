"""A thread that waits for the disk: jobs in their order, one at a time, and no failure lost."""

import threading

import pytest

from upswing.errors import StorageError
from upswing.run.background import Background


def test_the_caller_goes_on_while_a_job_waits():
    background, go, done = Background(), threading.Event(), []
    background.give(lambda: (go.wait(10), done.append(1)))
    assert not done
    go.set()
    background.give(lambda: done.append(2))
    background.wait()
    assert done == [1, 2]
    background.close()


@pytest.mark.parametrize("then", ["give", "wait", "close"])
def test_what_a_job_raises_the_next_call_raises_once(then):
    background = Background()

    def full():
        raise StorageError("the disk is full")

    background.give(full)
    with pytest.raises(StorageError, match="full"):
        background.give(lambda: None) if then == "give" else getattr(background, then)()
    background.wait()
    background.close()


def test_the_thread_ends_with_it():
    background = Background()
    background.close()
    background.give(lambda: None)
    background.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("upswing-writer")]
