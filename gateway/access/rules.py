"""What callers must meet, by field and by type, of one schema; and what that comes to for a field as it is selected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)

from gateway.access.requirement import Requirement

if TYPE_CHECKING:
    from gateway.federation.supergraph import Model

Requirements = frozenset[Requirement]
"""All of them are to be met."""


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What a schema asks of its callers: `types` by name, `fields` by the names of type and field."""

    types: Mapping[str, Requirement]
    fields: Mapping[tuple[str, str], Requirement]

    def __bool__(self) -> bool:
        return bool(self.types or self.fields)

    def policies(self) -> frozenset[str]:
        """Every policy that is named."""
        return frozenset(
            policy
            for each in (*self.types.values(), *self.fields.values())
            for alternative in each.policies or ()
            for policy in alternative
        )


def supergraph_rules(model: "Model") -> AccessRules:
    """The rules of a supergraph."""
    return AccessRules(
        {name: type_.access for name, type_ in model.types.items() if type_.access is not None},
        {
            (name, field.name): field.access
            for name, type_ in model.types.items()
            for field in type_.fields.values()
            if field.access is not None
        },
    )


@dataclass(frozen=True, slots=True)
class Needed:
    """What a field asks for, where it is selected on one type.

    Attributes:
        always: on whatever object it is found.
        by_type: further, on objects of these types; empty where it is selected on an object type.
    """

    always: Requirements
    by_type: Mapping[str, Requirements]

    def all(self) -> Requirements:
        """All that it may ask for."""
        return self.always.union(*self.by_type.values())

    def withheld_on(self, type_name: str, unmet: Requirements) -> bool:
        """Whether it is withheld on objects of a type from who does not meet these."""
        return not self.always.isdisjoint(unmet) or not self.by_type.get(type_name, frozenset()).isdisjoint(unmet)


_NOTHING = Needed(frozenset(), {})


class FieldNeeds:
    """What the fields of a schema ask for; what was found is remembered, so it is as large as the schema at most."""

    def __init__(self, schema: GraphQLSchema, rules: AccessRules) -> None:
        self.schema = schema
        self._rules = rules
        self._known: dict[tuple[str, str], Needed] = {}

    def of(self, parent: GraphQLNamedType, name: str) -> Needed:
        """What a field asks for, where it is selected on `parent`.

        That of the field, of the type it is selected on and of the type it returns. On an interface further that of the
        same field on the type of the object it is found on: who may not see it there does not see it by another way.
        `__typename` and introspection ask for nothing.
        """
        if name.startswith("__") or not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType):
            return _NOTHING
        key = (parent.name, name)
        found = self._known.get(key)
        if found is None:
            by_type = {}
            if isinstance(parent, GraphQLInterfaceType):
                by_type = {each.name: self._of(each, name) for each in self.schema.get_possible_types(parent)}
            always = self._of(parent, name)
            by_type = {each: more for each, needs in by_type.items() if (more := needs - always)}
            found = self._known[key] = Needed(always, by_type) if always or by_type else _NOTHING
        return found

    def _of(self, parent: GraphQLObjectType | GraphQLInterfaceType, name: str) -> Requirements:
        types = self._rules.types
        returned = get_named_type(parent.fields[name].type).name
        asked = (types.get(parent.name), self._rules.fields.get((parent.name, name)), types.get(returned))
        return frozenset(each for each in asked if each is not None)


def possible_types(schema: GraphQLSchema, type_: GraphQLNamedType) -> tuple[str, ...]:
    """The names of the object types that an object of this type can have."""
    if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
        return tuple(each.name for each in schema.get_possible_types(type_))
    return (type_.name,)
