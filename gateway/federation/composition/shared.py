"""Which fields of a supergraph must have been ``@shareable``: those that several subgraphs resolve.

Source: federation specification, ``@shareable`` and ``@provides``: what a subgraph provides of another's is shared too.
"""

import re
from collections.abc import Iterator

from graphql import InterfaceTypeDefinitionNode, ObjectTypeDefinitionNode

from gateway.federation.composition.joined import FieldNode, JoinedSchema

_NAME = re.compile(r"\w+")


def shared_fields(joined: JoinedSchema) -> set[tuple[str, str]]:
    """Coordinates (type, field) that several subgraphs resolve, by themselves or through an interface object."""
    return _Sharing(joined).found()


class _Sharing:
    def __init__(self, joined: JoinedSchema) -> None:
        self._joined = joined
        self._types = [
            node
            for node in joined.types.values()
            if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode)
        ]
        self._provided = self._provided_names()

    def found(self) -> set[tuple[str, str]]:
        shared = {
            (node.name.value, field.name.value)
            for node in self._types
            for field in node.fields or ()
            if len(self._resolving(node.name.value, field)) > 1
        }
        for interface in self._types:
            if isinstance(interface, InterfaceTypeDefinitionNode):
                shared.update(self._through(interface))
        return shared

    def _provided_names(self) -> dict[str, set[str]]:
        """By subgraph, every name in what it provides: an external field is taken as provided if its name is."""
        names: dict[str, set[str]] = {graph: set() for graph in self._joined.graphs}
        for node in self._types:
            for field in node.fields or ():
                for graph, place in self._joined.field_places(node.name.value, field).items():
                    names[graph].update(_NAME.findall(str(place.get("provides") or "")))
        return names

    def _resolving(self, parent: str, field: FieldNode) -> set[str]:
        """The subgraphs that resolve a field; of a progressive override only the one that takes it over."""
        places = self._joined.field_places(parent, field)
        losing = {each["override"] for each in places.values() if each.get("override")}
        return {
            graph
            for graph, each in places.items()
            if not each.get("usedOverridden")
            and self._joined.graphs[graph][0] not in losing
            and (not each.get("external") or field.name.value in self._provided[graph])
        }

    def _through(self, interface: InterfaceTypeDefinitionNode) -> Iterator[tuple[str, str]]:
        """Fields that one subgraph resolves on an interface object, and another on an implementer."""
        name = interface.name.value
        for field in interface.fields or ():
            resolving = self._resolving(name, field)
            through = {graph for graph in resolving if self._joined.is_interface_object(name, graph)}
            for implementer in self._implementers(name) if through else ():
                own = next((each for each in implementer.fields or () if each.name.value == field.name.value), None)
                is_resolved = own is not None and bool(self._resolving(implementer.name.value, own))
                if is_resolved and through - self._joined.graphs_of(implementer.name.value).keys():
                    yield name, field.name.value
                    yield implementer.name.value, field.name.value

    def _implementers(self, interface: str) -> Iterator[ObjectTypeDefinitionNode]:
        for node in self._types:
            names = {each.name.value for each in node.interfaces or ()}
            if isinstance(node, ObjectTypeDefinitionNode) and interface in names:
                yield node
