"""The events of a subscription of this process's own schema, and the answer that each of them makes.

GraphQL specification, §6.2.3 Subscription: CreateSourceEventStream and ExecuteSubscriptionEvent are graphql-core's.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from typing import Any

import strawberry
from graphql import ExecutionResult, GraphQLError, located_error
from graphql.execution import Executor, create_source_event_stream, execute_subscription_event
from graphql.execution.collect_fields import collect_fields

from gateway.context import RequestContext
from gateway.http.documents import Document, Operation
from schema.build import core_schema


class SourceRefused(Exception):
    """There are no events: variables do not fit, or the field's function refuses.

    Attributes:
        errors: why.
    """

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors


Complete = Callable[[Any], tuple[Any, list[dict[str, Any]]]]
"""Makes the data of what was executed that of what was asked for; gives entries for errors as well."""


def _complete(data: Any) -> tuple[Any, list[dict[str, Any]]]:
    return data, []


class Source:
    """One subscription: `events` are to be read once, to their end or `aclose`d.

    Attributes:
        complete: for the data of each event's answer.
    """

    def __init__(self, executor: Executor[Any], events: AsyncIterable[Any]) -> None:
        self._executor = executor
        self._events = events
        self.complete: Complete = _complete

    async def events(self) -> AsyncGenerator[Any, None]:
        """What the field's generator yields; it is closed with this one.

        Raises:
            GraphQLError: the generator raised; its cause is `original_error`.
        """
        try:
            async for event in self._events:
                yield event
        except Exception as error:
            raise self._located(error) from error
        finally:
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()

    def _located(self, error: Exception) -> GraphQLError:
        """The error of the root field, which is the only one."""
        executor = self._executor
        root = executor.schema.subscription_type
        if root is None:  # pragma: no cover  # there would be no source
            return located_error(error)
        [(name, details)] = collect_fields(
            executor.schema,
            executor.fragments,
            executor.variable_values,
            root,
            executor.operation,
            executor.hide_suggestions,
        ).grouped_field_set.items()
        return located_error(error, [each.node for each in details], [name])

    async def execute(self, event: object, context: RequestContext) -> ExecutionResult:
        """The answer to one event; resolvers get `context`."""
        executor = self._executor.build_per_event_executor(event)
        executor.context_value = context
        result = execute_subscription_event(executor)
        return await result if isinstance(result, Awaitable) else result


async def open_source(
    schema: strawberry.Schema,
    document: Document,
    operation: Operation,
    variables: Mapping[str, Any],
    context: RequestContext,
    *,
    hide_suggestions: bool,
) -> Source:
    """Begin a subscription: calls the field's function, with `context`, and reads no event yet.

    Raises:
        SourceRefused: there is none.
    """
    executor = schema.execution_context_class.build(
        core_schema(schema),
        document.ast,
        context_value=context,
        raw_variable_values=dict(variables),
        operation_name=operation.name,
        hide_suggestions=hide_suggestions,
    )
    if isinstance(executor, list):
        raise SourceRefused(executor)
    events = create_source_event_stream(executor)
    if isinstance(events, Awaitable):
        events = await events
    if isinstance(events, ExecutionResult):
        raise SourceRefused(events.errors or [])
    return Source(executor, events)
