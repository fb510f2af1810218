"""One Strawberry schema out of the modules that declare its fields."""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import strawberry
import strawberry.federation
from graphql import GraphQLSchema
from strawberry.federation.schema_directives import Key
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types
from strawberry.types.base import StrawberryObjectDefinition

from clients.operation import Operation, OperationError
from loaders.fields import OPERATION
from schema import about, actions, circuit_changes, fleet, health, upstreams
from schema.access import guarded
from schema.scalars import SCALARS

_ALWAYS: tuple[ModuleType, ...] = (upstreams, health, about, fleet, circuit_changes, actions)


class SchemaError(Exception):
    """A module of the schema cannot be used; the message names it and says why."""


def build_schema(imports: Sequence[str] = (), *, federated: bool = False) -> strawberry.Schema:
    """The schema of the gateway's own fields and those of the given modules.

    A module takes part by having a Strawberry type named `Query`, `Mutation` or `Subscription`, or all of them; in a
    federation also by having entities (`@strawberry.federation.type(keys=…)`).

    Args:
        imports: names of modules.
        federated: make it a subgraph: with `_service`, `_entities` and the directives of Apollo Federation 2.

    Raises:
        SchemaError: a module cannot be imported, declares no field, or its types do not fit the others.
    """
    modules = [*_ALWAYS, *(_load(name) for name in imports)]
    _check_roots(modules)
    try:
        roots = {
            name: merge_types(name, tuple(found))
            for name in ("Query", "Mutation", "Subscription")
            if (found := [getattr(module, name) for module in modules if hasattr(module, name)])
        }
        config = StrawberryConfig(scalar_map=SCALARS)
        if federated:
            return strawberry.federation.Schema(
                **_roots(roots), types=_entities(modules), federation_version="2.7", config=config
            )
        with warnings.catch_warnings():
            # Keys have no meaning here, and may stay; who may see what is enforced by gateway.access.
            warnings.filterwarnings("ignore", "Federation directive found in schema")
            return strawberry.Schema(**_roots(roots), config=config)
    except Exception as error:
        raise SchemaError(f"the schema of {', '.join(m.__name__ for m in modules)} is not valid: {error}") from error


def _check_roots(modules: Sequence[ModuleType]) -> None:
    """A root type's own directives are lost when the modules' become one; those that guard something must not be."""
    for module in modules:
        for name in ("Query", "Mutation", "Subscription"):
            definition = getattr(getattr(module, name, None), "__strawberry_definition__", None)
            if guarded(getattr(definition, "directives", None)):
                raise SchemaError(f"{module.__name__}.{name} is guarded as a whole; guard its fields, one by one")


def _roots(roots: dict[str, type]) -> dict[str, Any]:
    return {"query": roots["Query"], "mutation": roots.get("Mutation"), "subscription": roots.get("Subscription")}


def _entities(modules: Sequence[ModuleType]) -> list[type]:
    """The entities of the modules: some are reached by no field of this schema."""
    found = []
    for module in modules:
        for kind in vars(module).values():
            definition = getattr(kind, "__strawberry_definition__", None)
            if any(isinstance(d, Key) for d in getattr(definition, "directives", None) or ()) and kind not in found:
                found.append(kind)
    return found


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """The graphql-core schema that Strawberry built; it has no public name there."""
    return schema._schema  # noqa: SLF001


def operations(schema: strawberry.Schema) -> Iterator[tuple[str, Operation]]:
    """Every declared operation with the field it resolves, as `Type.field`."""
    for definition in schema.schema_converter.type_map.values():
        origin = definition.definition
        if isinstance(origin, StrawberryObjectDefinition):
            for field in origin.fields:
                if OPERATION in field.metadata:
                    yield (
                        f"{origin.name}.{schema.config.name_converter.get_graphql_name(field)}",
                        field.metadata[OPERATION],
                    )


def _load(name: str) -> ModuleType:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SchemaError(f"imports: there is no module {error.name}; is it on the Python path?") from error
    except OperationError as error:
        raise SchemaError(f"imports: {name}: {error}") from error
    if not any(hasattr(module, root) for root in ("Query", "Mutation", "Subscription")) and not _entities([module]):
        raise SchemaError(f"imports: {name} declares no Query, Mutation or Subscription type, and no entity")
    return module
