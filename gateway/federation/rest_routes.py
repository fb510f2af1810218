"""Whether the REST routes of subgraphs fit the supergraph: their fields, arguments, entities and keys."""

from collections.abc import Iterator, Mapping

from graphql import FieldDefinitionNode, NonNullTypeNode, ObjectTypeDefinitionNode, OperationType

from clients.operation import RestRoute
from clients.protocols.subgraph_rest import key_of_one
from gateway.federation.errors import SupergraphError
from gateway.federation.supergraph import Model
from gateway.federation.supergraph.model import Kind
from gateway.yaml_source import Finding

Routes = Mapping[str, Mapping[str, RestRoute]]
"""By service, the routes of root fields (`Query.products`) and of entities (`Product`)."""

_ROOTS = {"Query": OperationType.QUERY, "Mutation": OperationType.MUTATION}


def require_routes(routes: Routes, model: Model) -> None:
    """Refuse a supergraph that the routes do not fit.

    Raises:
        SupergraphError: with everything that is wrong, by its path in gateway.yaml.
    """
    if findings := check_routes(routes, model):
        reasons = "\n".join(f"  {finding}" for finding in findings)
        raise SupergraphError(f"REST routes of gateway.yaml do not fit the supergraph:\n{reasons}")


def check_routes(routes: Routes, model: Model) -> list[Finding]:
    """Everything that does not fit."""
    graphs = {subgraph.name: graph for graph, subgraph in model.subgraphs.items()}
    findings = []
    for service, its_routes in routes.items():
        for name, route in its_routes.items():
            path = ("services", service, "routes", name)
            if service not in graphs:
                there = ", ".join(sorted(graphs))
                message = f"{service} is no subgraph of the supergraph (there: {there}); remove the route"
                findings.append(Finding(path, message))
                continue
            root, dot, field = name.partition(".")
            wrong = (
                _wrong_root(model, graphs[service], (_ROOTS[root], field), route)
                if dot
                else _wrong_entity(model, graphs[service], name, route)
            )
            findings += [Finding(path, message) for message in wrong]
    return findings


def _wrong_root(model: Model, graph: str, named: tuple[OperationType, str], route: RestRoute) -> Iterator[str]:
    operation, field = named
    service = model.subgraphs[graph].name
    root = model.root(operation)
    local = model.local(root, graph, field) if root is not None else None
    if root is None or local is None or not local.resolvable:
        its_own = [name for name in model.types[root].fields if _resolves(model, root, graph, name)] if root else []
        yield f"{service} does not resolve such a field (there: {', '.join(its_own) or 'none'})"
        return
    arguments = {a.name.value: a for a in _definition(model, root, field).arguments or ()}
    for name in sorted(route.variables - set(arguments)):
        there = ", ".join(arguments) or "none"
        yield f'"{route}" names {name}, which is no argument of the field (its arguments: {there})'
    for name, argument in arguments.items():
        required = isinstance(argument.type, NonNullTypeNode) and argument.default_value is None
        if required and name not in route.variables and not route.has_body:
            yield f'"{route}" does not carry {name}, which the field requires; add it, as {{{name}}} or {{?{name}}}'


def _resolves(model: Model, root: str, graph: str, field: str) -> bool:
    local = model.local(root, graph, field)
    return local is not None and local.resolvable


def _definition(model: Model, type_name: str, field: str) -> FieldDefinitionNode:
    return next(
        each
        for definition in model.document.definitions
        if isinstance(definition, ObjectTypeDefinitionNode) and definition.name.value == type_name
        for each in definition.fields or ()
        if each.name.value == field
    )


def _wrong_entity(model: Model, graph: str, type_name: str, route: RestRoute) -> Iterator[str]:
    service = model.subgraphs[graph].name
    type_ = model.types.get(type_name)
    if type_ is None or graph not in type_.graphs:
        there = [name for name, each in model.types.items() if any(key.resolvable for key in each.keys.get(graph, ()))]
        yield f"{service} has no such type (its entities: {', '.join(there) or 'none'})"
        return
    keys = [key.fields for key in type_.keys.get(graph, ()) if key.resolvable]
    plain = [fields[0].name for fields in keys if len(fields) == 1 and not fields[0].selections]
    if type_.kind is not Kind.OBJECT and graph not in type_.interface_object_in:
        yield f"{type_name} is an {type_.kind.value}; give routes to the entities that implement it"
    elif len(plain) != 1:
        found = f"keys of a single field: {', '.join(plain)}" if plain else "no key of a single field"
        yield f"{type_name} has {found} in {service}; a route needs exactly one to ask by; remove the route"
    elif len(route.variables) != 1:
        names = ", ".join(sorted(route.variables)) or "none"
        yield f'"{route}" needs exactly one variable, for the keys, such as {{?{plain[0]}s}} (found: {names})'
    elif (name := key_of_one(route)) != plain[0] and name in type_.fields:
        yield f'"{route}" asks by {name}, which is no key of {type_name} in {service}; write {{{plain[0]}}}'
