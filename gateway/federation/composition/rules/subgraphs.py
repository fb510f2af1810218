"""All rules of one subgraph, in the order their messages are most useful."""

from gateway.federation.composition.errors import Problems
from gateway.federation.composition.model import SubgraphSchema
from gateway.federation.composition.rules.costs import check_costs
from gateway.federation.composition.rules.externals import check_externals
from gateway.federation.composition.rules.field_sets import check_field_sets
from gateway.federation.composition.rules.placement import check_placement
from gateway.federation.composition.rules.reporter import Reporter


def check_subgraph(schema: SubgraphSchema, problems: Problems) -> None:
    """Record everything that is wrong with a subgraph by itself; Federation 1 documents are upgraded before."""
    reporter = Reporter(schema, problems)
    errors = len(problems.errors)
    check_field_sets(reporter)
    # A field set that does not parse uses nothing: calling its externals unused would only add noise.
    if len(problems.errors) == errors:
        check_externals(reporter)
    check_placement(reporter)
    check_costs(reporter)
