"""The rules that a Strawberry schema declares with the directives of Apollo Federation, in a federation or without."""

from collections.abc import Iterable
from typing import Any

import strawberry
from strawberry.federation.schema_directives import Authenticated, Policy, RequiresScopes
from strawberry.types.base import StrawberryObjectDefinition

from gateway.access.requirement import Requirement, requirement
from gateway.access.rules import AccessRules


def declared_rules(schema: strawberry.Schema) -> AccessRules:
    """The rules of `Authenticated`, `RequiresScopes` and `Policy` on types and fields."""
    types: dict[str, Requirement] = {}
    fields: dict[tuple[str, str], Requirement] = {}
    name_of = schema.config.name_converter.get_graphql_name
    for name, concrete in schema.schema_converter.type_map.items():
        definition = concrete.definition
        if (found := _requirement(getattr(definition, "directives", None))) is not None:
            types[name] = found
        if isinstance(definition, StrawberryObjectDefinition):
            for field in definition.fields:
                if (found := _requirement(field.directives)) is not None:
                    fields[name, name_of(field)] = found
    return AccessRules(types, fields)


def _requirement(directives: Iterable[object] | None) -> Requirement | None:
    return requirement(_applied(each) for each in directives or ())


def _applied(directive: object) -> tuple[str, Any]:
    match directive:
        case Authenticated():
            return "authenticated", None
        case RequiresScopes():
            return "requiresScopes", directive.scopes
        case Policy():
            return "policy", directive.policies
    return "", None
