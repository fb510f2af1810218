"""Walking through the response that is being put together, and adding to it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.federation.planner.plan import FetchPath, Rename

Object = dict[str, Any]

Trail = tuple["Trail", str | int] | None
"""A response path from its end: (what is before, key or index). Made cheaply, written out only for errors."""


@dataclass(slots=True, eq=False)
class Occurrence:
    """One object and where it is."""

    object: Object
    trail: Trail


def flatten(root: Object, path: FetchPath) -> list[Occurrence]:
    """The objects at a path, in response order. Nulls and what has the wrong shape are passed over."""
    found = [Occurrence(root, None)]
    for segment in path:
        if isinstance(segment, frozenset):
            found = [each for each in found if is_of(each.object, segment)]
            continue
        following: list[Occurrence] = []
        for each in found:
            _spread(each.object.get(segment), (each.trail, segment), following)
        found = following
    return found


def is_of(object_: Object, types: frozenset[str]) -> bool:
    """Whether the runtime type of an object, as far as it is known, is one of these."""
    name = object_.get("__typename")
    return isinstance(name, str) and name in types


def _spread(value: object, trail: Trail, into: list[Occurrence]) -> None:
    if isinstance(value, dict):
        into.append(Occurrence(value, trail))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _spread(item, (trail, index), into)


def written_out(trail: Trail) -> list[str | int]:
    """The trail as a response path."""
    path: list[str | int] = []
    while trail is not None:
        trail, segment = trail
        path.append(segment)
    path.reverse()
    return path


def certain_prefix(root: Object, path: FetchPath) -> list[str | int]:
    """As much of a path as holds for all objects there: it ends before the first list or null."""
    prefix: list[str | int] = []
    value: object = root
    for segment in path:
        if not isinstance(value, dict):
            break
        if isinstance(segment, str):
            prefix.append(segment)
            value = value.get(segment)
    return prefix


def merge(into: Object, source: Object) -> None:
    """Add one answer to another about the same object: field by field, lists item by item, null changes nothing."""
    for key, value in source.items():
        known = into.get(key)
        if known is None or value is None:
            if known is None:
                into[key] = value
        elif isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            _merge_lists(known, value)
        else:
            into[key] = value


def _merge_lists(into: list[Any], source: list[Any]) -> None:
    for index, value in enumerate(source[: len(into)]):
        known = into[index]
        if isinstance(known, dict) and isinstance(value, dict):
            merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            _merge_lists(known, value)
        elif value is not None:
            into[index] = value


def copied(value: Any) -> Any:
    """A copy of JSON data that shares no object or list with it."""
    if isinstance(value, dict):
        return {key: copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copied(each) for each in value]
    return value


def rename(root: Object, renames: Iterable[Rename]) -> None:
    """Put what was sent under an alias under its key."""
    for each in renames:
        for object_ in _objects(root, each.path):
            if each.alias in object_:
                object_[each.key] = object_.pop(each.alias)


def _objects(value: object, path: tuple[str, ...]) -> Iterator[Object]:
    if isinstance(value, list):
        for item in value:
            yield from _objects(item, path)
    elif isinstance(value, dict):
        if path:
            yield from _objects(value.get(path[0]), path[1:])
        else:
            yield value
