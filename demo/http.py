"""What the demo upstreams' apps have in common."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from strawberry import Schema
from strawberry.asgi import GraphQL


def upstream_app(routes: Sequence[BaseRoute], schema: Schema | None = None) -> Starlette:
    """An upstream: its REST routes, its GraphQL at `/graphql` if it has one, and `/health`."""
    graphql = [Route("/graphql", GraphQL[None, None](schema, graphql_ide=None))] if schema else []
    return Starlette(routes=[*graphql, *routes, Route("/health", _health)])


def listed(request: Request, name: str) -> list[str] | None:
    """The values of a query parameter, given once with commas or repeatedly; None when it is absent."""
    values = request.query_params.getlist(name)
    return [part for value in values for part in value.split(",") if part] if values else None


def not_found(what: str) -> Response:
    """404 with the reason."""
    return JSONResponse({"error": f"no such {what}"}, 404)


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok")
