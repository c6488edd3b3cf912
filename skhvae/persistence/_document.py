"""Objects <-> a JSON document and tensors beside it, by a table of the kinds of things they are made of.

JSON's own values stand for themselves, ``{tag: parts}`` for anything else. Reading looks tags up in the
table; nothing in a document can name code.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

__all__ = ["CannotBeSaved", "Kind", "Reader", "Writer"]

_AS_THEY_ARE = {
    type(None): lambda _: True,
    bool: lambda _: True,
    str: lambda _: True,
    int: lambda x: -(2**63) <= x < 2**63,  # Python refuses to read decimals of thousands of digits
    float: math.isfinite,
}
_short = reprlib.Repr()
_short.maxother = _short.maxstring = 80


class CannotBeSaved(TypeError):
    """Something that no file can hold; says what."""


@dataclass(frozen=True)
class Kind:
    """One kind of thing.

    Attributes
    ----------
    tag : str
        Its name in documents.
    type : type
    parts : callable
        Thing -> what it is made of: a dict by name, or a tuple.
    build : callable
        The same, as arguments -> thing.
    subclasses : bool
        Whether it stands for subclasses of `type`, too, that have no kind of their own.
    shared : bool
        Whether it stays one thing where it is met at several places.
    called : callable or None
        Thing -> how messages call it.
    """

    tag: str
    type: type
    parts: Callable[[Any], tuple | list | dict[str, Any]]
    build: Callable[..., Any]
    subclasses: bool = False
    shared: bool = False
    called: Callable[[Any], str] | None = None


class Writer:
    """Turns things into JSON values, and collects their tensors.

    Parameters
    ----------
    kinds : iterable of Kind

    Attributes
    ----------
    tensors : dict of str to Tensor
        On the CPU, by the place where each was met.
    """

    def __init__(self, kinds: Iterable[Kind]):
        self.tensors: dict[str, Tensor] = {}
        self._kinds = {kind.type: kind for kind in kinds}
        # With the things themselves: once they were gone, others could have their ids.
        self._known: dict[int, tuple[int, Any]] = {}
        self._path: list[str] = []

    def write(self, thing: Any) -> Any:
        """The JSON value that stands for a thing.

        Raises
        ------
        CannotBeSaved
        """
        if type(thing) in _AS_THEY_ARE and _AS_THEY_ARE[type(thing)](thing):
            return thing
        if type(thing) is list:
            return [self._part(str(i), part) for i, part in enumerate(thing)]
        if type(thing) is dict:
            return {"dict": [self._pair(i, *pair) for i, pair in enumerate(thing.items())]}
        if isinstance(thing, Tensor):
            return {"tensor": self._stored(thing)}
        if id(thing) in self._known:
            return {"ref": self._known[id(thing)][0]}
        kind = self._kind_of(thing)
        if kind.called:
            self._path = [kind.called(thing)]
        try:
            parts = kind.parts(thing)
        except CannotBeSaved as reason:
            raise self._refusal(thing, f" ({reason})") from reason
        if isinstance(parts, dict):
            payload = {name: self._part(name, part) for name, part in parts.items()}
        else:
            payload = [self._part(str(i), part) for i, part in enumerate(parts)]
        if kind.shared:
            self._known[id(thing)] = len(self._known), thing
        return {kind.tag: payload}

    def _part(self, name: str, part: Any) -> Any:
        before, self._path = self._path, [*self._path, name]
        written = self.write(part)
        self._path = before
        return written

    def _pair(self, position: int, key: Any, value: Any) -> list:
        name = key if isinstance(key, str) else str(position)
        return [self._part(f"{name} as a key", key), self._part(name, value)]

    def _kind_of(self, thing: Any) -> Kind:
        for ancestor in type(thing).__mro__:
            kind = self._kinds.get(ancestor)
            if kind is not None and (kind.subclasses or ancestor is type(thing)):
                return kind
        raise self._refusal(thing)

    def _refusal(self, thing: Any, reason: str = "") -> CannotBeSaved:
        kind = f"{type(thing).__module__}.{type(thing).__qualname__}"
        return CannotBeSaved(
            f"{', '.join(self._path) or 'imputer'}: {_short.repr(thing)} of type {kind} cannot be "
            f"saved{reason}: a file holds data, and no code or objects of one's own. Use pickle or "
            "joblib, or something else in its place: the name of a strategy or likelihood, a number, "
            "a string, a date."
        )

    def _stored(self, tensor: Tensor) -> str:
        place = ".".join(self._path).encode("ascii", "backslashreplace").decode()
        name, n = place, 1
        while name in self.tensors:
            name, n = f"{place} #{n}", n + 1
        # A copy: tensors can be views of a common one, which files do not have.
        self.tensors[name] = tensor.detach().cpu().clone().contiguous()
        return name


class Reader:
    """The inverse of :class:`Writer`.

    Parameters
    ----------
    kinds : iterable of Kind
    tensors : dict of str to Tensor
    """

    def __init__(self, kinds: Iterable[Kind], tensors: dict[str, Tensor]):
        self._kinds = {kind.tag: kind for kind in kinds}
        self._tensors = dict(tensors)
        self._known: list = []

    def read(self, node: Any) -> Any:
        """The thing that a JSON value stands for.

        Raises
        ------
        Exception
            Of any kind, where the document is none of :class:`Writer`'s.
        """
        if isinstance(node, list):
            return [self.read(part) for part in node]
        if not isinstance(node, dict):
            return node
        ((tag, payload),) = node.items()
        if tag == "dict":
            return {self.read(key): self.read(value) for key, value in payload}
        if tag == "tensor":
            return self._tensors.pop(payload).clone()  # aligned, and not a part of the whole file
        if tag == "ref":
            return self._known[payload]
        kind = self._kinds[tag]
        if isinstance(payload, dict):
            thing = kind.build(**{name: self.read(part) for name, part in payload.items()})
        else:
            thing = kind.build(*self.read(payload))
        if kind.shared:
            self._known.append(thing)
        return thing

    def finish(self) -> None:
        """Raise ValueError if tensors are left that nothing refers to."""
        if self._tensors:
            raise ValueError(f"tensors that nothing refers to: {sorted(self._tensors)[:5]}")
