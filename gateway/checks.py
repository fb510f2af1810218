"""Whether the declared operations and the configured services fit together; asked at start and by `gateway check`."""

import re

import strawberry

from clients.operation import Operation, OperationError, RestRoute, check_route, default_of
from clients.service import Service
from clients.stages.fallback import ways
from gateway.config import Config
from gateway.yaml_source import Finding
from schema.build import operations

_OF_SUBGRAPH = re.compile(r"((Query|Mutation)\.)?[_A-Za-z][_0-9A-Za-z]*")


def check_operations(schema: strawberry.Schema, config: Config) -> list[Finding]:
    """Everything that does not fit: services nobody configured, operations no protocol carries, routes gone wrong."""
    services = {service.name: service for service in config.clients_services()}
    declared: dict[str, dict[str, Operation]] = {}
    findings = []
    for field, operation in operations(schema):
        known = declared.setdefault(operation.service, {})
        if known.setdefault(operation.name, operation) is not operation:
            findings.append(
                Finding(("schema", field), f"{operation.service} has two operations named {operation.name}; rename one")
            )
        service = services.get(operation.service)
        if service is None:
            there = ", ".join(services) or "none"
            findings.append(
                Finding(
                    ("services",),
                    f"{operation.service} is missing; the field {field} is answered by it (there: {there})",
                )
            )
        elif not ways(service, operation):
            findings.append(Finding(("services", service.name), _no_way(field, operation)))
        for other in config.stand_ins(operation.service):
            if not ways(services[other], operation):
                message = f"{_no_way(field, operation)}, or do not let it stand in for {operation.service}"
                findings.append(Finding(("services", other), message))
    for name in services:
        for other in config.stand_ins(name):  # its routes are for the operations of those it stands in for
            declared[other] = {**declared.get(name, {}), **declared.get(other, {})}
    for name, service in services.items():
        findings += _check_defaults(service, declared.get(name, {}))
        findings += _check_routes(service, declared.get(name, {}), subgraph=_may_answer_subgraph(config, name))
    return list(dict.fromkeys(findings))


def subgraph_routes(schema: strawberry.Schema, config: Config) -> dict[str, dict[str, RestRoute]]:
    """By service, the routes of its root fields and entities as a subgraph: those that no declared operation has."""
    declared = {(operation.service, operation.name) for _, operation in operations(schema)}
    found = {}
    for service in config.clients_services():
        its_own = {name: route for name, route in service.routes.items() if (service.name, name) not in declared}
        if its_own and _may_be_subgraph(config, service.name):
            found[service.name] = its_own
    return found


def _may_be_subgraph(config: Config, name: str) -> bool:
    """Whether the service is a subgraph, or may turn out to be one of a supergraph that others composed."""
    federation = config.served_federation
    if federation is None:
        return False
    return federation.supergraph is not None or config.services[name].subgraph is not None


def _may_answer_subgraph(config: Config, name: str) -> bool:
    """Whether the service may be a subgraph, or stands in for one that may be."""
    return any(_may_be_subgraph(config, each) for each in config.services if name in {each, *config.stand_ins(each)})


def _no_way(field: str, operation: Operation) -> str:
    needs = "graphql" if operation.graphql is not None else "rest"
    return f"cannot answer the field {field}: the operation {operation.name} is declared for {needs}; add {needs}:"


def _check_routes(service: Service, declared: dict[str, Operation], *, subgraph: bool) -> list[Finding]:
    findings = []
    for name, route in service.routes.items():
        operation = declared.get(name)
        path = ("services", service.name, "routes", name)
        if operation is None and subgraph and _OF_SUBGRAPH.fullmatch(name):
            continue  # held against the supergraph once that is known
        if operation is None:
            there = ", ".join(declared) or "none"
            message = f"{service.name} has no operation of that name (there: {there})"
            if subgraph:
                message += "; a subgraph's routes are named Query.field, Mutation.field or by an entity's type"
            findings.append(Finding(path, message))
        elif wrong := _wrong_route(operation, route):
            findings.append(Finding(path, wrong))
    return findings


def _check_defaults(service: Service, declared: dict[str, Operation]) -> list[Finding]:
    findings = []
    for name, value in service.fallback.defaults.items():
        path = ("services", service.name, "fallback", "defaults", name)
        if name not in declared:
            there = ", ".join(declared) or "none"
            findings.append(Finding(path, f"{service.name} has no operation of that name (there: {there})"))
            continue
        try:
            default_of(declared[name], value)
        except OperationError as error:
            findings.append(Finding(path, str(error).removeprefix("default: ")))
    return findings


def _wrong_route(operation: Operation, route: RestRoute) -> str | None:
    try:
        check_route(operation, route)
    except OperationError as error:
        return str(error)
    return None
