"""This process's Strawberry schema, executed: by a program where the operation has one, by graphql-core otherwise."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import GraphQLError, execute
from graphql.execution.values import VariableValues, get_variable_values

from gateway.http.documents import Document, Operation
from gateway.local_execution.prepared import Prepared
from gateway.local_execution.running import run_program
from schema.build import core_schema


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an operation: data that msgspec encodes, and errors."""

    data: Any
    errors: list[GraphQLError]


class LocalSchema:
    """Executes operations of documents that are valid for the schema.

    Args:
        schema: Strawberry's.
        hide_suggestions: in messages.
    """

    def __init__(self, schema: strawberry.Schema, *, hide_suggestions: bool) -> None:
        self._schema = schema
        self._hide_suggestions = hide_suggestions

    def prepared(self, document: Document, operation: Operation) -> Prepared:
        """An operation, ready to run; kept with its document."""
        key = (operation.name, self)
        made: Prepared | None = document.prepared.get(key)
        if made is None:
            made = document.prepared[key] = Prepared(self._schema, operation.node, document.fragments)
        return made

    async def execute(
        self,
        document: Document,
        operation: Operation,
        variables: Mapping[str, Any],
        context: object,
        *,
        alone: bool = False,
    ) -> Result:
        """Answer one operation of a document.

        Args:
            document: of a cache of this schema.
            operation: one of its operations.
            variables: as the client sent them.
            context: for resolvers.
            alone: nothing else runs for the same context.
        """
        values = VariableValues({}, {})
        if definitions := operation.node.variable_definitions:
            coerced = get_variable_values(
                core_schema(self._schema), definitions, dict(variables), hide_suggestions=self._hide_suggestions
            )
            if isinstance(coerced, list):
                return Result(None, coerced)
            values = coerced
        program = self.prepared(document, operation).program(values.coerced)
        if isinstance(program, str):
            return await self._execute_plainly(document, operation, variables, context)
        data, errors = await run_program(
            program,
            self._schema.execution_context_class,
            values,
            context,
            hide_suggestions=self._hide_suggestions,
            alone=alone,
        )
        return Result(data, errors)

    async def _execute_plainly(
        self, document: Document, operation: Operation, variables: Mapping[str, Any], context: object
    ) -> Result:
        result = execute(
            core_schema(self._schema),
            document.ast,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation.name,
            executor_class=self._schema.execution_context_class,
            hide_suggestions=self._hide_suggestions,
        )
        if isinstance(result, Awaitable):
            result = await result
        return Result(result.data, result.errors or [])
