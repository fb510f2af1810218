"""Which subscriptions of a supergraph this process can serve: those that its own schema answers, whole."""

from collections.abc import Iterator

from graphql import FieldNode, GraphQLSchema, OperationType, TypeInfo, TypeInfoVisitor, Visitor, visit
from graphql.utilities import separate_operations

from gateway.federation.supergraph import Model
from gateway.http.documents import Document, Operation
from gateway.http.errors import OperationUnsupported


def require_local(
    model: Model, api_schema: GraphQLSchema, local: str | None, document: Document, asked: Operation
) -> None:
    """Refuse a subscription that another subgraph would have to answer any part of.

    Args:
        model: of the supergraph.
        api_schema: its own.
        local: the name of this process's own schema among the subgraphs; None when it is none of them.
        document: valid for the API schema.
        asked: a subscription in it.

    Raises:
        OperationUnsupported: naming the first such field, and the subgraphs that have it.
    """
    graph = next((graph for graph, subgraph in model.subgraphs.items() if subgraph.name == local), None)
    for type_name, field in _fields(api_schema, document, asked):
        here = None if graph is None else model.local(type_name, graph, field)
        if here is None or not here.resolvable or here.requires is not None:
            raise OperationUnsupported(_refusal(model, local, type_name, field))


def _refusal(model: Model, local: str | None, type_name: str, field: str) -> str:
    elsewhere = ", ".join(
        repr(subgraph.name)
        for graph, subgraph in sorted(model.subgraphs.items())
        if subgraph.name != local and (there := model.local(type_name, graph, field)) is not None and there.resolvable
    )
    what = f"{type_name}.{field} is resolved by the subgraph {elsewhere or 'of another service'}"
    if type_name == model.root(OperationType.SUBSCRIPTION):
        return f"{what}: federated subscriptions are not served."
    return f"{what}: a subscription is answered by the gateway's own schema alone; ask for this field in a query."


def _fields(api_schema: GraphQLSchema, document: Document, asked: Operation) -> Iterator[tuple[str, str]]:
    """Type and name of each field that the operation selects, its fragments' included."""
    info = TypeInfo(api_schema)
    found: dict[tuple[str, str], None] = {}

    class Collector(Visitor):
        def enter_field(self, node: FieldNode, *_: object) -> None:
            parent = info.get_parent_type()
            if parent is not None and not node.name.value.startswith("__"):
                found[parent.name, node.name.value] = None

    visit(separate_operations(document.ast)[asked.name or ""], TypeInfoVisitor(info, Collector()))
    yield from found
