"""The customers upstream: forty people, over GraphQL and REST."""

from dataclasses import asdict

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.http import listed, not_found, upstream_app

_FIRST = ("Ada", "Björn", "Chiara", "Dmitri", "Esi", "Farah", "Goran", "Hana", "Ines", "Jonas")
_LAST = ("Lovelace", "Okafor", "Sørensen", "Tanaka")
_TIERS = ("BRONZE", "SILVER", "GOLD")


@strawberry.type
class Customer:
    """Someone who gets invoices."""

    id: strawberry.ID
    name: str
    email: str
    tier: str


def customers() -> dict[str, Customer]:
    """All of them by id; the same every time."""
    count = len(_FIRST) * len(_LAST)
    found = {}
    for n in range(count):
        first, last = _FIRST[n % len(_FIRST)], _LAST[n // len(_FIRST)]
        key = str(n + 1)
        found[key] = Customer(
            id=strawberry.ID(key), name=f"{first} {last}", email=f"customer{key}@example.com", tier=_TIERS[n % 3]
        )
    return found


def customers_app() -> Starlette:
    """The upstream: `/graphql`, `/api/customers?ids=1,2`, `/api/customers/{id}`."""
    data = customers()

    @strawberry.type
    class Query:
        @strawberry.field
        def customers(self, ids: list[strawberry.ID]) -> list[Customer | None]:
            return [data.get(key) for key in ids]

        @strawberry.field
        def customer(self, id: strawberry.ID) -> Customer | None:  # noqa: A002 - an argument of the schema
            return data.get(id)

    async def many(request: Request) -> Response:
        ids = listed(request, "ids")
        found = data.values() if ids is None else [data[key] for key in dict.fromkeys(ids) if key in data]
        return JSONResponse([asdict(customer) for customer in found])

    async def one(request: Request) -> Response:
        customer = data.get(request.path_params["id"])
        return JSONResponse(asdict(customer)) if customer else not_found("customer")

    return upstream_app(
        [Route("/api/customers", many), Route("/api/customers/{id}", one)], strawberry.Schema(query=Query)
    )
