"""torch's threads: chunks side by side, other people's numbers of threads, and forks.

torch keeps a number of threads for every thread that runs operations; those that are new begin with
the number that was last set by any.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["side_by_side"]

_turn = threading.Lock()  # of those who use all threads; two at a time would hinder each other
_setting = threading.Lock()


def side_by_side(function: Callable, items: Sequence) -> list:
    """``[function(item) for item in items]``, as many at a time as torch has threads here.

    torch's operations take one thread each meanwhile, so that results do not depend on the number
    of threads: threads that share every operation wait for each other after each, besides. The
    calling thread's number of threads stays, and so does that of others.

    Parameters
    ----------
    function : callable
    items : sequence

    Returns
    -------
    list

    Examples
    --------
    >>> side_by_side(lambda n: torch.ones(n).sum().item(), [2, 3])
    [2.0, 3.0]
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        return [function(item) for item in items]
    with _turn:
        return list(_workers(n_threads).map(function, items))


@functools.cache
def _workers(n_threads: int) -> ThreadPoolExecutor:
    """They stay, so that it is only once that torch's number for new threads is another."""
    return ThreadPoolExecutor(n_threads, "skhvae", initializer=_take_one_thread)


def _take_one_thread() -> None:
    """Let operations of the calling thread, a new one, take one thread each; new ones do not inherit it."""
    with _setting:
        inherited = torch.get_num_threads()
        torch.set_num_threads(1)
        last = threading.Thread(target=torch.set_num_threads, args=(inherited,))
        last.start()
        last.join()


def _after_fork() -> None:
    """Let a forked child compute with one thread: the parent's others, which OpenMP takes for its own,
    do not exist there, and whoever waits for them waits for ever."""
    global _turn, _setting
    _turn, _setting = threading.Lock(), threading.Lock()  # a thread of the parent may hold them
    _workers.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
