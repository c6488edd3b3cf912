"""Work on rows in blocks that fit into memory, which nobody knows beforehand."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["in_blocks"]

_FEWEST = 32  # rows: a block of less is not halved any more
# What torch says in a RuntimeError, of devices and of the CPU.
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def in_blocks(work: Callable[[slice, int], None], n_rows: int, size: int) -> None:
    """Do some work on all rows, block by block; where memory does not suffice, by blocks of half the size
    from then on.

    Parameters
    ----------
    work : callable
        (which rows, the size of the blocks) -> None. Can be done again for rows for which it failed.
    n_rows, size : int

    Raises
    ------
    MemoryError, RuntimeError
        If there is no memory for a block of less than 32 rows.

    Examples
    --------
    >>> from skhvae.memory import in_blocks
    >>> def work(rows, size):
    ...     if size > 50:
    ...         raise MemoryError
    ...     print(rows)
    >>> in_blocks(work, 90, size=100)
    slice(0, 50, None)
    slice(50, 90, None)
    """
    start = 0
    while start < n_rows:
        try:
            work(slice(start, min(start + size, n_rows)), size)
            start += size
        except (MemoryError, RuntimeError) as error:
            if size < _FEWEST or not _is_out_of_memory(error):
                raise
            size //= 2  # what the failed work held is free again once this clause is left


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(
        words in str(error).lower() for words in _OUT_OF_MEMORY
    )
