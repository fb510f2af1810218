"""A schema of a few fields behind the endpoint, executed by graphql-core: the smallest real handler."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from graphql import GraphQLSchema, build_schema, default_field_resolver, execute
from graphql.execution import ExecutionResult
from starlette.types import ASGIApp

from gateway.http import Answer, DocumentCache, Exchange, GraphQLEndpoint, error_entry
from gateway.http.errors import ValidationFailed

URL = "http://gateway.test/graphql"
GRAPHQL_RESPONSE = "application/graphql-response+json"


def schema() -> GraphQLSchema:
    return build_schema(
        """
        type Query { hello(name: String = "world"): String, tree: Query, fails: String }
        type Mutation { touch: Int }
        type Subscription { ticks: Int }
        """
    )


def _fails(_info: object) -> str:
    raise ValueError("field failed")


ROOT: dict[str, Any] = {
    "hello": lambda _info, name: f"hello {name}",
    "tree": lambda _info: ROOT,
    "fails": _fails,
    "touch": lambda _info: 1,
}


class SchemaHandler:
    """Parses, checks and executes; `calls` counts executions."""

    def __init__(self, documents: DocumentCache | None = None) -> None:
        self.documents = documents or DocumentCache(schema(), introspection=True, suggestions=True)
        self.calls = 0

    async def __call__(self, exchange: Exchange) -> Answer:
        document = self.documents.get(exchange.params.require_query())
        operation = document.operation(exchange.params.operation_name)
        exchange.check_operation(operation.kind)
        self.calls += 1
        result = execute(
            self.documents.schema,
            document.ast,
            ROOT,
            variable_values=dict(exchange.params.variables),
            operation_name=operation.name,
            field_resolver=default_field_resolver,
        )
        if not isinstance(result, ExecutionResult):
            raise TypeError("the schema has no asynchronous field")
        if result.data is None and result.errors and not result.errors[0].path:
            raise ValidationFailed(*(error.message for error in result.errors))
        errors = [
            error_entry(
                error.message,
                code="FIELD_FAILED",
                category="internal",
                request_id=exchange.request_id,
                at=datetime.now(UTC),
                path=error.path,
            )
            for error in result.errors or ()
        ]
        return Answer(data=result.data, errors=errors)


class Masked:
    """Collects what the endpoint masked."""

    def __init__(self) -> None:
        self.seen: list[tuple[Exception, str]] = []

    def __call__(self, error: Exception, request_id: str) -> None:
        self.seen.append((error, request_id))


def endpoint(handler: Callable[[Exchange], Any] | None = None, **options: Any) -> GraphQLEndpoint:
    options.setdefault("on_error", Masked())
    return GraphQLEndpoint(handler or SchemaHandler(), **options)


def client(app: ASGIApp | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app or endpoint()), base_url="http://gateway.test")
