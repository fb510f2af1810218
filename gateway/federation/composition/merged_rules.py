"""Rules of the supergraph as a whole, after merging and before any query is tried on it."""

from graphql import GraphQLError, build_ast_schema, parse, validate_schema
from graphql.validation.validate import validate_sdl

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.inaccessible import check_inaccessible
from gateway.federation.composition.interface_rules import check_interfaces
from gateway.federation.composition.merging.access import check_required_access
from gateway.federation.composition.printing import print_supergraph
from gateway.federation.composition.supergraph import Supergraph


def check_supergraph(supergraph: Supergraph, problems: Problems) -> None:
    """Record what makes the merged types no schema that clients could use."""
    if "Query" not in supergraph.types:
        problems.error("NO_QUERIES", "no subgraph has a query field, and a GraphQL schema needs one")
        return
    check_interfaces(supergraph, problems)
    check_inaccessible(supergraph, problems)
    check_required_access(supergraph, problems)
    if not problems.errors:
        _check_schema(supergraph, problems)


def _check_schema(supergraph: Supergraph, problems: Problems) -> None:
    """Subgraphs that are valid alone may together break GraphQL's own rules, such as those of interfaces."""
    try:
        document = parse(print_supergraph(supergraph), no_location=True)
        errors = validate_sdl(document) or validate_schema(build_ast_schema(document, assume_valid_sdl=True))
    except GraphQLError as error:
        errors = [error]
    for each in errors:
        hint = "Every subgraph is valid alone: make the definitions that the message names agree between subgraphs."
        problems.error("INVALID_GRAPHQL", f"once merged: {each.message}", hint=hint)
