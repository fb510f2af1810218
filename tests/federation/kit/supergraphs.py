"""Supergraph SDL from a short body, and the SDL of one subgraph back from it."""

from graphql import (
    DirectiveNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    UnionTypeDefinitionNode,
    print_ast,
)

from gateway.federation.supergraph import Kind, Model
from gateway.federation.supergraph.features import arguments_of


def supergraph(body: str, *graphs: str, links: str = "") -> str:
    """A supergraph: the body, with what every supergraph has around it.

    Graph ``A`` is the subgraph ``a`` at ``http://a``. Root types that say nothing else are in all subgraphs.
    """
    everywhere = " ".join(f"@join__type(graph: {graph.upper()})" for graph in graphs)
    for root in ("type Query", "type Mutation"):
        body = body.replace(f"{root} {{", f"{root} {everywhere} {{")
    roots = "query: Query" + (" mutation: Mutation" if "type Mutation" in body else "")
    values = "\n".join(f'  {graph.upper()} @join__graph(name: "{graph}", url: "http://{graph}")' for graph in graphs)
    return f"""
schema
  @link(url: "https://specs.apollo.dev/link/v1.0")
  @link(url: "https://specs.apollo.dev/join/v0.5", for: EXECUTION)
  {links}
{{ {roots} }}

enum join__Graph {{
{values}
}}

{body}
"""


def subgraph_sdl(model: Model, graph: str) -> str:
    """The schema a subgraph serves: its part of the types, with ``_entities``."""
    parts = []
    for node in model.document.definitions:
        name = getattr(getattr(node, "name", None), "value", "")
        type_ = model.types.get(name)
        if type_ is None or graph not in type_.graphs:
            continue
        if isinstance(node, ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            is_object = type_.kind is Kind.OBJECT or graph in type_.interface_object_in
            fields = [
                _field(node_field, local.type)
                for node_field in node.fields or ()
                if (local := model.local(name, graph, node_field.name.value))
            ]
            if name == "Query" and _entities(model, graph):
                fields.append("_entities(representations: [_Any!]!): [_Entity]!")
            if not fields:
                continue
            implements = sorted(type_.interfaces.get(graph, ())) if graph not in type_.interface_object_in else []
            suffix = f" implements {' & '.join(implements)}" if implements else ""
            parts.append(f"{'type' if is_object else 'interface'} {name}{suffix} {{ {' '.join(fields)} }}")
        elif isinstance(node, UnionTypeDefinitionNode):
            parts.append(f"union {name} = {' | '.join(sorted(type_.members[graph]))}")
        elif isinstance(node, EnumTypeDefinitionNode):
            values = [value.name.value for value in node.values or () if _in_graph(value.directives, graph)]
            parts.append(f"enum {name} {{ {' '.join(values)} }}")
        elif isinstance(node, InputObjectTypeDefinitionNode):
            inputs = [f"{each.name.value}: {print_ast(each.type)}" for each in node.fields or ()]
            parts.append(f"input {name} {{ {' '.join(inputs)} }}")
        elif isinstance(node, ScalarTypeDefinitionNode):
            parts.append(f"scalar {name}")
    entities = _entities(model, graph)
    if entities:
        parts.append(f"scalar _Any union _Entity = {' | '.join(entities)}")
    if not any(part.startswith("type Query ") for part in parts):
        parts.append(f"type Query {{ _entities(representations: [_Any!]!): [{'_Entity' if entities else 'Int'}]! }}")
        if not entities:
            parts.append("scalar _Any")
    return "\n".join(parts)


def _entities(model: Model, graph: str) -> list[str]:
    """Members of ``_Entity``: objects with a key, and implementers of interfaces with one."""
    found = set()
    for name, type_ in model.types.items():
        if graph in type_.keys:
            if type_.kind is Kind.OBJECT or graph in type_.interface_object_in:
                found.add(name)
            else:
                found |= model.runtime_types(name, graph) or set()
    return sorted(found)


def _field(node: FieldDefinitionNode, local_type: str) -> str:
    arguments = ", ".join(print_ast(argument) for argument in node.arguments or ())
    return f"{node.name.value}{f'({arguments})' if arguments else ''}: {local_type}"


def _in_graph(directives: tuple[DirectiveNode, ...] | None, graph: str) -> bool:
    graphs = [arguments_of(each).get("graph") for each in directives or () if each.name.value == "join__enumValue"]
    return not graphs or graph in graphs
