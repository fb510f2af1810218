"""An operation without the fields that its caller may not see: what is planned and executed in its place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
)

from gateway.access.rules import FieldNeeds, Requirements, possible_types


@dataclass(frozen=True, slots=True)
class Filtered:
    """What is left of an operation.

    Attributes:
        document: the operation and the fragments it still uses; None when nothing of it is left.
        cut: the fields of the operation as it was that have something withheld below them, by identity.
        typename: a response key of its own, by which types of objects are asked for where something depends on them.
    """

    document: DocumentNode | None
    cut: frozenset[int]
    typename: str


def filtered(
    needs: FieldNeeds,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    unmet: Requirements,
    typename: str,
) -> Filtered:
    """An operation of a valid document without what asks for something unmet.

    A field that only some types withhold is asked for on the others, type by type. An object of which nothing is left
    is asked for its type: whether there is one is nothing that is withheld.
    """
    root = needs.schema.get_root_type(operation.operation)
    if root is None:
        raise ValueError(f"the schema has no {operation.operation.value} type")
    filter_ = _Filter(needs, fragments, unmet, typename, tell_types=False)
    kept, _ = filter_.selections(operation.selection_set, root)
    if not filter_.withheld_keys.isdisjoint(filter_.kept_keys):
        # What is selected twice may be withheld once; what stands below it there depends on the objects found here.
        filter_ = _Filter(needs, fragments, unmet, typename, tell_types=True)
        kept, _ = filter_.selections(operation.selection_set, root)
    if not kept:
        return Filtered(None, frozenset(filter_.cut), typename)
    changed = OperationDefinitionNode(
        operation=operation.operation,
        name=operation.name,
        variable_definitions=operation.variable_definitions,
        directives=operation.directives,
        selection_set=SelectionSetNode(selections=tuple(kept)),
        loc=operation.loc,
    )
    used = [made[0] for made in filter_.fragments_made.values() if made[0] is not None]
    return Filtered(DocumentNode(definitions=(changed, *used)), frozenset(filter_.cut), typename)


class _Filter:
    def __init__(
        self,
        needs: FieldNeeds,
        fragments: Mapping[str, FragmentDefinitionNode],
        unmet: Requirements,
        typename: str,
        *,
        tell_types: bool,
    ) -> None:
        self.needs = needs
        self.schema = needs.schema
        self.fragments = fragments
        self.unmet = unmet
        self.typename = FieldNode(alias=NameNode(value=typename), name=NameNode(value="__typename"))
        self.tell_types = tell_types
        self.cut: set[int] = set()
        self.withheld_keys: set[str] = set()
        self.kept_keys: set[str] = set()
        self.fragments_made: dict[str, tuple[FragmentDefinitionNode | None, bool]] = {}

    def selections(self, selection_set: SelectionSetNode, parent: GraphQLNamedType) -> tuple[list[SelectionNode], bool]:
        """What is kept of a selection set, and whether something was withheld in it or anywhere below."""
        kept: list[SelectionNode] = []
        changed = False
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                found, cut = self._field(node, parent)
            elif isinstance(node, FragmentSpreadNode):
                fragment, cut = self._fragment(node.name.value)
                found = [] if fragment is None else [node]
            elif isinstance(node, InlineFragmentNode):
                found, cut = self._inline(node, parent)
            kept += found
            changed = changed or cut
        return kept, changed

    def _field(self, node: FieldNode, parent: GraphQLNamedType) -> tuple[Sequence[SelectionNode], bool]:
        name = node.name.value
        if name.startswith("__"):
            return [node], False
        needed = self.needs.of(parent, name)
        if not needed.always.isdisjoint(self.unmet):
            self._note(node, self.withheld_keys)
            return [], True
        self._note(node, self.kept_keys)
        left = self._below(node, get_named_type(fields_of(parent)[name].type)) if node.selection_set else node
        cut = left is not node
        if cut:
            self.cut.add(id(node))
        if all(each.isdisjoint(self.unmet) for each in needed.by_type.values()):
            return [left], cut
        self._note(node, self.withheld_keys)
        allowed = [each for each in possible_types(self.schema, parent) if not needed.withheld_on(each, self.unmet)]
        return [_on(each, left) for each in allowed], True

    @staticmethod
    def _note(node: FieldNode, keys: set[str]) -> None:
        if node.selection_set is not None:
            keys.add((node.alias or node.name).value)

    def _below(self, node: FieldNode, type_: GraphQLNamedType) -> FieldNode:
        """The field with what is kept below it; itself when that is all."""
        assert node.selection_set is not None  # noqa: S101  # the caller looked
        kept, changed = self.selections(node.selection_set, type_)
        abstract = is_abstract_type(type_)
        if not changed and not (abstract and self.tell_types):
            return node
        if not kept or abstract:
            kept = [*kept, self.typename]
        return FieldNode(
            alias=node.alias,
            name=node.name,
            arguments=node.arguments,
            directives=node.directives,
            selection_set=SelectionSetNode(selections=tuple(kept)),
            loc=node.loc,
        )

    def _inline(self, node: InlineFragmentNode, parent: GraphQLNamedType) -> tuple[Sequence[SelectionNode], bool]:
        type_ = self._type(node.type_condition) if node.type_condition else parent
        kept, changed = self.selections(node.selection_set, type_)
        if not changed:
            return [node], False
        if not kept:
            return [], True
        left = InlineFragmentNode(
            type_condition=node.type_condition,
            directives=node.directives,
            selection_set=SelectionSetNode(selections=tuple(kept)),
        )
        return [left], True

    def _fragment(self, name: str) -> tuple[FragmentDefinitionNode | None, bool]:
        """A fragment with what is kept of it, made once however often it is spread."""
        if name not in self.fragments_made:
            node = self.fragments[name]
            kept, changed = self.selections(node.selection_set, self._type(node.type_condition))
            left: FragmentDefinitionNode | None = node if kept else None
            if kept and changed:
                left = FragmentDefinitionNode(
                    name=node.name,
                    type_condition=node.type_condition,
                    variable_definitions=node.variable_definitions,
                    directives=node.directives,
                    selection_set=SelectionSetNode(selections=tuple(kept)),
                )
            self.fragments_made[name] = (left, changed)
        return self.fragments_made[name]

    def _type(self, node: NamedTypeNode) -> GraphQLNamedType:
        return self.schema.type_map[node.name.value]


def fields_of(type_: GraphQLNamedType) -> Mapping[str, GraphQLField]:
    """Its fields; a union's and a leaf's are none."""
    return type_.fields if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType) else {}


def _on(type_name: str, field: FieldNode) -> InlineFragmentNode:
    condition = NamedTypeNode(name=NameNode(value=type_name))
    return InlineFragmentNode(
        type_condition=condition, directives=(), selection_set=SelectionSetNode(selections=(field,))
    )
