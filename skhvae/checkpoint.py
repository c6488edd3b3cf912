"""Where a training stands, on disk, so that the same call goes on from there after a crash.

A checkpoint is a pickle, as a cache of joblib's is: load none that others can write to.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import joblib
import torch

__all__ = ["Checkpoint", "Checkpoints"]

_SECONDS_BETWEEN = 30.0


class Checkpoints:
    """The checkpoints of one call of fit: a file for each of its stages.

    Parameters
    ----------
    folder : path-like
        Is made if it does not exist. Several fits can share it.
    any_seed : bool
        Whether the call leaves the seed open: then it takes that of an earlier one that was broken off.
    """

    def __init__(self, folder: str | os.PathLike, any_seed: bool):
        self._folder, self._any_seed = Path(folder), any_seed
        self._made: list[Checkpoint] = []

    def begin(self, call, seed: int) -> int:
        """Look for what is left of the same call.

        Parameters
        ----------
        call : object
            All that decides, beside the seed, what is computed. Files are named by its hash, so that another
            call neither goes on from them nor writes over them.
        seed : int

        Returns
        -------
        int
            The seed to use.

        Raises
        ------
        TypeError
            If `call` cannot be pickled.
        """
        try:
            self._name = joblib.hash((call, None if self._any_seed else seed))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TypeError(
                f"checkpoint_dir needs parameters that can be pickled: {error}. "
                "Use functions and classes of a module, or checkpoint_dir=None."
            ) from error
        self._folder.mkdir(parents=True, exist_ok=True)
        begun = self.of("seed")
        kept = begun.load("cpu")
        if kept is None:
            begun.save(lambda: {"seed": seed}, now=True)
        return seed if kept is None else kept["seed"]

    def of(self, stage: str) -> Checkpoint:
        """The checkpoint of that stage."""
        self._made.append(Checkpoint(self._folder / f"fit-{self._name}-{stage}.pt"))
        return self._made[-1]

    def remove(self) -> None:
        """Delete the files: the call has come to its end."""
        for checkpoint in self._made:
            checkpoint.path.unlink(missing_ok=True)


class Checkpoint:
    """One file, written as a whole or not at all.

    Parameters
    ----------
    path : Path

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skhvae.checkpoint import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint = Checkpoint(pathlib.Path(folder) / "training.pt")
    ...     checkpoint.save(lambda: {"epoch": 3}, now=True)
    ...     Checkpoint(checkpoint.path).load(device="cpu")
    {'epoch': 3}
    """

    def __init__(self, path: Path):
        self.path = path
        self._saved = -float("inf")

    def load(self, device) -> dict | None:
        """What was saved, with its tensors on `device`; None if nothing was.

        Warns
        -----
        RuntimeWarning
            If the file cannot be read: training starts anew.
        """
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location=device, weights_only=False)
        except Exception as error:  # whatever a damaged pickle leads to
            warnings.warn(
                f"The checkpoint {self.path} cannot be read and is not used: {error!r}.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None

    def save(self, state: Callable[[], dict], now: bool = False) -> None:
        """Write what `state` returns, if that was last done a while ago or is wanted `now`."""
        if not now and time.monotonic() - self._saved < _SECONDS_BETWEEN:
            return
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                torch.save(state(), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._saved = time.monotonic()
