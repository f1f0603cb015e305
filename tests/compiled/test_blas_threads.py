"""BLAS is held to one thread while trainings run, however many do at once, and let go after the last."""

import threadpoolctl

from upswing.compiled.blas import one_blas_thread


def blas_threads():
    return {lib["filepath"]: lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"}


def test_one_thread_inside_and_as_before_outside():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = one_blas_thread(), one_blas_thread()
        with first:
            assert set(blas_threads().values()) == {1}
            second.__enter__()
        assert set(blas_threads().values()) == {1}  # the other one is still at work
        second.__exit__(None, None, None)
        assert blas_threads() == before
