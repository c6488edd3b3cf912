"""Write a file all at once or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil

__all__ = ["write_at_once"]


def write_at_once(path: str | os.PathLike, data) -> None:
    """Replace a file, or make it; whatever happens, `path` is the old file or the new one.

    Parameters
    ----------
    path : str or path-like
    data : bytes-like

    Raises
    ------
    OSError
        If it cannot be written, e.g. for lack of space; the old file is still there.
    """
    target = os.path.realpath(path)  # a link stays a link
    folder = os.path.dirname(target)
    beside = os.path.join(folder, f".skhvae-{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.isfile(target):
            shutil.copymode(target, beside)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _keep_name(folder)


def _keep_name(folder: str) -> None:
    """Have the folder itself written too, where systems can do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
