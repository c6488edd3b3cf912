"""Chunks side by side leave everybody's number of threads alone; forked children do not wait for ever."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from subprocesses import output_of

from skhvae.threads import side_by_side


def of_a_new_thread():
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("n_items", [1, 2, 7])
def test_results_are_in_the_order_of_the_items(n_threads, n, n_items):
    n_threads(n)
    assert side_by_side(str, range(n_items)) == [str(i) for i in range(n_items)]


def test_as_many_at_a_time_as_torch_has_threads(n_threads):
    n_threads(3)
    together = threading.Barrier(3, timeout=60)  # fewer would wait for the third
    assert len(set(side_by_side(lambda _: together.wait(), range(6)))) == 3


def test_with_one_thread_nobody_else_is_asked(n_threads):
    n_threads(1)
    assert set(side_by_side(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


def test_everybody_keeps_the_number_of_threads(n_threads):
    """Inside it is one; those who begin meanwhile, or later, inherit what was set before."""
    n_threads(2)
    together = threading.Barrier(2, timeout=60)
    side_by_side(lambda _: together.wait(), range(2))  # both workers have begun
    found = side_by_side(lambda _: (torch.get_num_threads(), of_a_new_thread()), range(4))
    assert found == [(1, 2)] * 4
    assert (torch.get_num_threads(), of_a_new_thread()) == (2, 2)


def test_calls_from_several_threads_leave_the_number_of_threads_as_it_was(n_threads):
    n_threads(2)

    def call(i):
        return side_by_side(lambda j: (i, j, torch.ones(40_000).exp().sum().item()), range(5))

    expected = [call(i) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(call, range(12))) == expected
    assert (torch.get_num_threads(), of_a_new_thread()) == (2, 2)


def test_with_one_thread_each_callers_do_not_wait_for_each_other(n_threads):
    n_threads(1)
    together = threading.Barrier(2, timeout=60)
    with ThreadPoolExecutor(2) as pool:
        assert (
            len(list(pool.map(lambda _: side_by_side(lambda _: together.wait(), [0]), "ab"))) == 2
        )


def test_an_error_is_raised_and_hinders_nobody_afterwards(n_threads):
    n_threads(2)
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda n: 1 / n, [1, 0, 2])
    assert side_by_side(lambda n: 1 / n, [1, 2]) == [1, 0.5]


def in_a_forked_child():
    """To be run in a process of its own: print what a child finds after torch has used threads."""
    torch.set_num_threads(2)
    torch.ones(10**6).exp()
    both = threading.Barrier(2)
    side_by_side(lambda _: both.wait(), [0, 1])
    holding, done = threading.Event(), threading.Event()

    def hold(_):
        holding.set()
        done.wait()

    holder = threading.Thread(target=side_by_side, args=(hold, [0]))
    holder.start()
    holding.wait()
    child = os.fork()
    if child == 0:
        sizes = [
            torch.ones(10**6).exp().numel(),
            (torch.ones(600, 600) @ torch.ones(600, 600)).numel(),
        ]
        print("alone", torch.get_num_threads(), sizes, flush=True)
        torch.set_num_threads(2)
        print("at will", side_by_side(lambda n: n, [1, 2]), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    holder.join()
    print("parent", torch.get_num_threads(), os.waitstatus_to_exitcode(status))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_forked_child_does_not_wait_for_threads_that_it_has_not():
    output = output_of("import test_threads; test_threads.in_a_forked_child()")
    assert output.splitlines() == ["alone 1 [1000000, 360000]", "at will [1, 2]", "parent 2 0"]
