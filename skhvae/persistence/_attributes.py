"""Kinds of objects that are what their attributes are.

A list says which they have. One that has more, or less, is refused: an attribute that the list does not
know would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from skhvae.persistence._document import CannotBeSaved, Kind

__all__ = ["checked", "plain", "record", "remade"]


def checked(found: dict, needed: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """The attributes in the order of the lists, once they are known to be those of the lists."""
    listed = [*needed, *optional]
    for what, names in (
        ("has an attribute that files do not know", set(found) - set(listed)),
        ("lacks", set(needed) - set(found)),
    ):
        if names:
            raise CannotBeSaved(f"it {what}: {', '.join(sorted(names))}")
    return {name: found[name] for name in listed if name in found}


def plain(tag: str, cls: type, needed: str, optional: str = "") -> Kind:
    """Objects that are made without their constructor, whose arguments are gone."""
    names = needed.split(), optional.split()

    def build(**attributes):
        thing = object.__new__(cls)
        vars(thing).update(checked(attributes, *names))
        return thing

    return Kind(tag, cls, lambda thing: checked(vars(thing), *names), build, shared=True)


def remade(tag: str, cls: type, given: str, derived: str) -> Kind:
    """Objects whose constructor takes some attributes and derives the others."""
    arguments = given.split()

    def parts(thing):
        found = checked(vars(thing), [*arguments, *derived.split()])
        return {name: found[name] for name in arguments}

    return Kind(tag, cls, parts, cls, shared=True)


def record(tag: str, cls: type, called: Callable[[Any], str] | None = None) -> Kind:
    """Dataclasses."""
    names = [field.name for field in fields(cls)]
    return Kind(
        tag, cls, lambda thing: checked(vars(thing), names), cls, shared=True, called=called
    )
