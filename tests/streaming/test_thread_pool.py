"""Threads divide jobs so that each is run once, in order, in about equal parts."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend.streaming.thread_pool import MIN_HOPS_PER_THREAD, ThreadPool


class DoublingEngine:
    """Doubles hops and notes, per call, the numbers of hops of the jobs it got; fails where it is told to."""

    def __init__(self, fails_at=None, pause_s=0.001):
        self.calls = []
        self.ended = 0
        self.fails_at = fails_at
        self.pause_s = pause_s

    def process_many(self, jobs):
        self.calls.append((threading.get_ident(), [len(hops) for hops, _ in jobs]))
        if self.fails_at in [state for _, state in jobs]:
            raise MemoryError
        time.sleep(self.pause_s)
        self.ended += 1
        return [2 * hops + state for hops, state in jobs]


def jobs_of(n_hops):
    return [(np.full((n, 2), i, np.float32), 100 * i) for i, n in enumerate(n_hops)]


@settings(deadline=None, max_examples=60)
@given(n_hops=st.lists(st.integers(0, 40), max_size=60), num_threads=st.integers(1, 4))
def test_every_job_is_run_once_in_its_place(n_hops, num_threads):
    engine, jobs = DoublingEngine(), jobs_of(n_hops)
    results = ThreadPool(num_threads).process_many(engine, jobs)
    assert len(results) == len(jobs)
    for i, (n, result) in enumerate(zip(n_hops, results, strict=True)):
        np.testing.assert_array_equal(result, np.full((n, 2), 102 * i))
    shares = [share for _, share in engine.calls]
    assert sorted(itertools.chain.from_iterable(shares)) == sorted(n_hops)
    assert len(shares) <= max(1, min(num_threads, sum(n_hops) // MIN_HOPS_PER_THREAD))
    assert max(map(sum, shares)) <= sum(n_hops) / len(shares) + max(n_hops, default=0)


def test_jobs_of_one_length_stay_together():
    engine = DoublingEngine()
    ThreadPool(2).process_many(engine, jobs_of([6, 7] * 20))
    first, second = sorted(share for _, share in engine.calls)
    assert (set(first), set(second)) in [({6}, {7}), ({6}, {6, 7}), ({6, 7}, {7})]


def test_threads_run_at_once_the_callers_among_them():
    engine = DoublingEngine()
    ThreadPool(2).process_many(engine, jobs_of([MIN_HOPS_PER_THREAD] * 2))
    idents = {ident for ident, _ in engine.calls}
    assert len(idents) == 2
    assert threading.get_ident() in idents


@pytest.mark.parametrize("fails_at", [0, 100])
def test_an_error_comes_after_all_have_ended(fails_at):
    engine = DoublingEngine(fails_at, pause_s=0.05)
    with pytest.raises(MemoryError):
        ThreadPool(2).process_many(engine, jobs_of([MIN_HOPS_PER_THREAD] * 2))
    assert engine.ended == 1


def test_threads_end_with_the_object():
    before = set(threading.enumerate())
    workers = ThreadPool(3)
    workers.process_many(DoublingEngine(), jobs_of([MIN_HOPS_PER_THREAD] * 3))
    started = set(threading.enumerate()) - before
    assert started
    del workers
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()
