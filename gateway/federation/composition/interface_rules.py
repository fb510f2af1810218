"""Interfaces across subgraphs: implementers are complete, keys and interface objects can be relied on."""

from gateway.federation.composition.errors import Problems, name_list
from gateway.federation.composition.model import Kind, SubgraphSchema
from gateway.federation.composition.supergraph import MergedType, Supergraph


def check_interfaces(supergraph: Supergraph, problems: Problems) -> None:
    """Record interfaces that merging has left without what they promise."""
    for merged in supergraph.types.values():
        if merged.kind in {Kind.OBJECT, Kind.INTERFACE}:
            _check_implemented(merged, supergraph, problems)
        if merged.kind is Kind.INTERFACE:
            _check_keyed_interface(merged, supergraph, problems)
            _check_interface_objects(merged, supergraph, problems)


def _check_implemented(merged: MergedType, supergraph: Supergraph, problems: Problems) -> None:
    for interface in merged.implements:
        wanted = supergraph.types.get(interface)
        for name in wanted.fields if wanted is not None else ():
            if name in merged.fields:
                continue
            having = [
                schema.name
                for schema in supergraph.schemas
                if interface in schema.types and name in schema.types[interface].fields
            ]
            lacking = [schema.name for schema in supergraph.schemas if merged.name in schema.types]
            message = (
                f'"{merged.name}" implements "{interface}" and has no field "{name}", '
                f"which {name_list(having)} ha{'s' if len(having) == 1 else 've'} in the interface"
            )
            problems.error(
                "INTERFACE_FIELD_NO_IMPLEM",
                message,
                subgraphs=list(dict.fromkeys([*having, *lacking])),
                coordinates=[f"{interface}.{name}", merged.name],
            )


def _implementers(interface: str, supergraph: Supergraph) -> set[str]:
    return {
        each.name for each in supergraph.types.values() if each.kind is Kind.OBJECT and interface in each.implements
    }


def _check_keyed_interface(merged: MergedType, supergraph: Supergraph, problems: Problems) -> None:
    """A subgraph asked for an interface by key must know the runtime type of whatever it is asked for."""
    for schema in supergraph.schemas:
        definition = schema.types.get(merged.name)
        if definition is None or definition.kind is not Kind.INTERFACE:
            continue
        resolvable = [key for key in definition.applied("key") if key.value("resolvable", True) is not False]
        missing = sorted(_implementers(merged.name, supergraph) - schema.types.keys()) if resolvable else []
        if missing:
            message = f'"{merged.name}" has a @key here, and {name_list(missing)} that implement it are not defined'
            problems.error(
                "INTERFACE_KEY_MISSING_IMPLEMENTATION_TYPE",
                message,
                subgraphs=[schema.name],
                coordinates=[merged.name, *missing],
            )


def _check_interface_objects(merged: MergedType, supergraph: Supergraph, problems: Problems) -> None:
    objects: list[SubgraphSchema] = []
    interfaces: list[SubgraphSchema] = []
    for schema in supergraph.schemas:
        definition = schema.types.get(merged.name)
        if definition is not None:
            (objects if definition.is_interface_object else interfaces).append(schema)
    if not objects:
        return
    names = [schema.name for schema in objects]
    if not interfaces:
        message = f'"{merged.name}" is an @interfaceObject in {name_list(names)} and an interface nowhere'
        problems.error("INTERFACE_OBJECT_USAGE_ERROR", message, subgraphs=names, coordinates=[merged.name])
    for schema in objects:
        beside = sorted(_implementers(merged.name, supergraph) & schema.types.keys())
        if beside:
            message = f'"{merged.name}" is an @interfaceObject beside {name_list(beside)}, which implement it'
            problems.error(
                "INTERFACE_OBJECT_USAGE_ERROR", message, subgraphs=[schema.name], coordinates=[merged.name, *beside]
            )
