"""``__schema`` and ``__type``, answered from the API schema without asking anyone."""

from collections.abc import Mapping
from typing import Any

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode, OperationType, SelectionSetNode, execute_sync

from gateway.federation.executor.completion import holds
from gateway.federation.planner.plan import Plan


def introspect(schema: GraphQLSchema, plan: Plan, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the operation's introspection fields by response key."""
    nodes = [node for each in plan.introspection if holds(each.condition, variables) for node in each.nodes]
    if not nodes:
        return {}
    operation = OperationDefinitionNode(
        operation=OperationType.QUERY,
        variable_definitions=plan.operation.node.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=tuple(nodes)),
    )
    document = DocumentNode(definitions=(operation, *plan.operation.fragments))
    return dict(execute_sync(schema, document, variable_values=dict(variables)).data or {})
