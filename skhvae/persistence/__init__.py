"""Save imputers to files, and load them, without pickle.

A file is a zip archive of ``state.json`` and ``tensors.safetensors``, with a manifest of version and
checksums. It holds data, never code: what it says is looked up in the registries of this package, and
nothing of it is run. Stands above the estimator; nothing below knows of files.
"""

from __future__ import annotations

import json
import os

from skhvae.imputer import HeterogeneousVAEImputer
from skhvae.parameters import resolve_device
from skhvae.persistence._archive import pack, unpack
from skhvae.persistence._arrays import ARRAYS
from skhvae.persistence._document import Kind, Reader, Writer
from skhvae.persistence._estimator import ESTIMATOR
from skhvae.persistence._files import write_at_once
from skhvae.persistence._learned import learned
from skhvae.persistence._scalars import SCALARS

__all__ = ["load", "save"]

_STATE, _TENSORS = "state.json", "tensors.safetensors"


def save(imputer: HeterogeneousVAEImputer, path: str | os.PathLike) -> None:
    """Write an imputer to a file, fitted or not.

    Parameters
    ----------
    imputer : HeterogeneousVAEImputer
    path : str or path-like
        A file there is replaced, all at once: if anything fails, it is still the old one.

    Raises
    ------
    TypeError
        If the imputer holds what data cannot express: a function or an object of one's own as strategy,
        likelihood or level; the message says which. Pickle and joblib can save such imputers.
    OSError
        If the file cannot be written.
    ImportError
        Without safetensors.

    See Also
    --------
    load : The inverse.

    Examples
    --------
    >>> import os, tempfile
    >>> import skhvae
    >>> from skhvae.datasets import make_heterogeneous
    >>> table = make_heterogeneous(60, random_state=0).data
    >>> table.iloc[::5, 0] = None
    >>> imputer = skhvae.HeterogeneousVAEImputer(max_iter=2, n_members=1, random_state=0).fit(table)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "table.skhvae")
    ...     skhvae.save(imputer, path)
    ...     loaded = skhvae.load(path)
    >>> loaded.transform(table).equals(imputer.transform(table))
    True
    """
    safetensors = _safetensors()
    if type(imputer) is not HeterogeneousVAEImputer:
        raise TypeError(
            f"skhvae.save writes a HeterogeneousVAEImputer, found {type(imputer).__name__}. Use pickle "
            "or joblib for other estimators, Pipelines among them."
        )
    writer = Writer(_kinds())
    state = json.dumps(writer.write(imputer), allow_nan=False, separators=(",", ":"))
    tensors = safetensors.save(writer.tensors)
    write_at_once(path, pack({_STATE: state.encode("ascii"), _TENSORS: tensors}))


def load(path: str | os.PathLike, device: str = "auto") -> HeterogeneousVAEImputer:
    """Read an imputer that :func:`save` has written; nothing in the file is run.

    Parameters
    ----------
    path : str or path-like
    device : str, default="auto"
        Where its model is to be: "auto" takes CUDA when there is one. The parameter `device` of the
        estimator, which a further fit goes by, is as it was saved.

    Returns
    -------
    HeterogeneousVAEImputer
        On the device type that it was saved from it gives the same to the last bit.

    Raises
    ------
    ValueError
        If the file is damaged, cut short, changed, of another format, or no file of :func:`save`; if the
        device cannot be used.
    OSError
        If it cannot be read.
    ImportError
        Without safetensors, or without pyarrow if the imputer was fitted to columns that it stores.

    See Also
    --------
    save : The inverse, with an example.
    """
    safetensors = _safetensors()
    target = resolve_device(device)
    with open(path, "rb") as file:
        data = file.read()
    name = repr(os.fspath(path))
    try:
        parts = unpack(data, (_STATE, _TENSORS))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    try:
        reader = Reader(_kinds(), safetensors.load(parts[_TENSORS]))
        imputer = reader.read(json.loads(parts[_STATE]))
        reader.finish()
        if type(imputer) is not HeterogeneousVAEImputer:
            raise ValueError(f"it holds a {type(imputer).__name__}")
    except ImportError:
        raise
    except Exception as error:  # a sealed file that save did not write can say anything
        raise ValueError(
            f"{name} cannot be read as an imputer: {type(error).__name__}: {error}. Either it was not "
            "written by skhvae.save, or by another version of skhvae; save the imputer again."
        ) from error
    if hasattr(imputer, "_engine") and target.type != "cpu":
        imputer.device_, imputer._engine = target, imputer._engine.to(target)
    return imputer


def _kinds() -> list[Kind]:
    return [*SCALARS, *ARRAYS, *learned(), *ESTIMATOR]


def _safetensors():
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "skhvae.save and skhvae.load need safetensors. Use pip install 'skhvae[persistence]'."
        ) from error
    return safetensors.torch
