"""``@override``: which fields move from one subgraph to another, and whether only for some requests.

Source: federation specification, ``@override``; labels since v2.7 (progressive override).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import Applied, Field, Kind, SubgraphSchema, TypeDef

# A name of the specification's form, or a percentage with up to eight decimals.
_LABEL = re.compile(r"^[a-zA-Z][a-zA-Z0-9_\-:./]*$")
_PERCENT = re.compile(r"^percent\((\d{1,2}(\.\d{1,8})?|100)\)$")

_COLLIDING = ("external", "provides", "requires")


@dataclass(frozen=True, slots=True)
class Override:
    """``by`` takes a field over from ``source``; with a label, only where the label is active."""

    by: str
    source: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Overrides:
    """Every override by coordinate (type, field); ``source`` may be a subgraph that does not exist."""

    by_field: Mapping[tuple[str, str], Sequence[Override]]

    def losing(self, schema: SubgraphSchema, type_name: str, field_name: str) -> Override | None:
        """The override that takes the field away from this subgraph, if any."""
        found = self.by_field.get((type_name, field_name), ())
        return next((each for each in found if each.source == schema.name), None)

    def winning(self, schema: SubgraphSchema, type_name: str, field_name: str) -> Override | None:
        """The override by which this subgraph gets the field, if any."""
        found = self.by_field.get((type_name, field_name), ())
        return next((each for each in found if each.by == schema.name), None)

    def labels(self) -> list[str]:
        """The labels in use, sorted."""
        found = (each for overrides in self.by_field.values() for each in overrides)
        return sorted({each.label for each in found if each.label is not None})


def find_overrides(schemas: Sequence[SubgraphSchema], problems: Problems) -> Overrides:
    """The overrides of all subgraphs, and what is wrong with them."""
    search = _Search({schema.name: schema for schema in schemas}, problems)
    for schema in schemas:
        for parent, field in schema.fields():
            for applied in field.applied("override"):
                search.add(schema, parent, field, applied)
    search.check_chains()
    return Overrides(search.found)


class _Search:
    def __init__(self, schemas: Mapping[str, SubgraphSchema], problems: Problems) -> None:
        self.found: dict[tuple[str, str], list[Override]] = {}
        self._schemas = schemas
        self._problems = problems

    def _error(self, code: str, coordinate: str, message: str, *subgraphs: str) -> None:
        self._problems.error(code, message, subgraphs=subgraphs, coordinates=[coordinate])

    def _hint(self, code: str, coordinate: str, message: str, *subgraphs: str) -> None:
        self._problems.hint(code, message, subgraphs=subgraphs, coordinates=[coordinate])

    def add(self, schema: SubgraphSchema, parent: TypeDef, field: Field, applied: Applied) -> None:
        at = f"{parent.name}.{field.name}"
        source, label = str(applied.value("from", "")), applied.value("label")
        if parent.kind is Kind.INTERFACE or parent.is_interface_object:
            what = "an interface object" if parent.is_interface_object else "an interface"
            message = f'"{at}" belongs to {what} and cannot be overridden'
            self._error("OVERRIDE_ON_INTERFACE", at, message, schema.name)
            return
        if source == schema.name:
            message = f'"{at}" is overridden from "{source}", its own subgraph'
            self._error("OVERRIDE_FROM_SELF_ERROR", at, message, schema.name)
            return
        for directive in _COLLIDING:
            if field.has(directive):
                message = f'"{at}" is marked both @override and @{directive}'
                self._error("OVERRIDE_COLLISION_WITH_ANOTHER_DIRECTIVE", at, message, schema.name)
        # Without a field to take over there is nothing to do in steps.
        is_there = self._check_source(schema, at, parent, field, source)
        if label is not None and is_there and not (_LABEL.match(str(label)) or _PERCENT.match(str(label))):
            message = f'"{at}" is overridden with the label "{label}"'
            self._error("OVERRIDE_LABEL_INVALID", at, message, schema.name)
        override = Override(schema.name, source, str(label) if label is not None and is_there else None)
        self.found.setdefault((parent.name, field.name), []).append(override)

    def check_chains(self) -> None:
        """A field taken from a subgraph that takes it from another would leave open who resolves it."""
        for (type_name, field_name), overrides in self.found.items():
            for each in overrides:
                if any(other.by == each.source for other in overrides):
                    at = f"{type_name}.{field_name}"
                    message = f'"{at}" is overridden from "{each.source}", which overrides it itself'
                    self._error("OVERRIDE_SOURCE_HAS_OVERRIDE", at, message, each.by, each.source)

    def _check_source(self, schema: SubgraphSchema, at: str, parent: TypeDef, field: Field, source: str) -> bool:
        """Whether the subgraph that loses the field has it."""
        other = self._schemas.get(source)
        if other is None:
            message = f'"{at}" is overridden from "{source}", which is no subgraph here'
            self._hint("FROM_SUBGRAPH_DOES_NOT_EXIST", at, message, schema.name)
            return False
        other_type = other.types.get(parent.name)
        theirs = other_type.fields.get(field.name) if other_type is not None else None
        if other_type is None or theirs is None:
            message = f'"{source}" has no "{at}" any more: the @override can go'
            self._hint("OVERRIDE_DIRECTIVE_CAN_BE_REMOVED", at, message, schema.name)
            return False
        if other_type.is_interface_object or other_type.kind is Kind.INTERFACE:
            message = f'"{at}" is overridden from "{source}", where it belongs to an interface'
            self._error("OVERRIDE_ON_INTERFACE", at, message, schema.name, source)
        for directive in ("provides", "requires"):
            if theirs.has(directive) and not theirs.is_external:
                message = f'"{at}" is overridden from "{source}", where it is marked @{directive}'
                self._error("OVERRIDE_COLLISION_WITH_ANOTHER_DIRECTIVE", at, message, schema.name, source)
        return True
