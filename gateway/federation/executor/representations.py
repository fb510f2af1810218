"""Representations: the objects a subgraph is asked to complete, each distinct one once.

Specification: https://www.apollographql.com/docs/graphos/schema-design/federated-schemas/reference/subgraph-spec
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from gateway.federation.executor.merging import Object, Occurrence, is_of
from gateway.federation.planner.plan import InputField, Target

_encode = msgspec.json.Encoder(enc_hook=repr).encode


@dataclass(slots=True)
class Representations:
    """Distinct representations of one ``_entities`` field; ``occurrences`` are the objects of each, by index."""

    type_name: str
    values: list[Object] = field(default_factory=list)
    occurrences: list[list[Occurrence]] = field(default_factory=list)
    _index: dict[bytes, int] = field(default_factory=dict)

    def add(self, target: Target, occurrences: list[Occurrence]) -> None:
        """Ask for these objects too. One whose key is missing or null cannot be asked for and is left out."""
        for occurrence in occurrences:
            object_ = occurrence.object
            if not _identified(object_, target.key):
                continue
            value = {"__typename": self.type_name, **_build(object_, target.inputs)}
            # Encoded, because equal dicts need not be the same in JSON: 1, 1.0 and true are equal in Python.
            index = self._index.setdefault(_encode(value), len(self.values))
            if index == len(self.values):
                self.values.append(value)
                self.occurrences.append([])
            self.occurrences[index].append(occurrence)


def _applies(field_: InputField, object_: Object) -> bool:
    return field_.types is None or is_of(object_, field_.types)


def _identified(object_: Object, key: tuple[InputField, ...]) -> bool:
    for field_ in key:
        if not _applies(field_, object_):
            continue
        value = object_.get(field_.key)
        if value is None or (field_.fields is not None and not _all_identified(value, field_.fields)):
            return False
    return True


def _all_identified(value: object, key: tuple[InputField, ...]) -> bool:
    if isinstance(value, list):
        return all(_all_identified(item, key) for item in value)
    return isinstance(value, dict) and _identified(value, key)


def _build(object_: Object, inputs: tuple[InputField, ...]) -> Object:
    """Missing fields are left out: the subgraph decides what to make of it. Null is passed on."""
    built: Object = {}
    for field_ in inputs:
        if field_.key in object_ and _applies(field_, object_):
            value = object_[field_.key]
            below = value if field_.fields is None else _build_below(value, field_)
            known = built.get(field_.name)
            built[field_.name] = {**known, **below} if isinstance(known, dict) and isinstance(below, dict) else below
    return built


def _build_below(value: Any, field_: InputField) -> Any:
    if isinstance(value, list):
        return [_build_below(item, field_) for item in value]
    if not isinstance(value, dict):
        return None
    built = _build(value, field_.fields or ())
    return {"__typename": value["__typename"], **built} if field_.typename and "__typename" in value else built
