"""The products upstream: twelve things for a harbour, a Federation 2 subgraph that speaks REST as well."""

from typing import Any

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.http import listed, not_found, upstream_app

_DEFAULT_FIRST = 10
_CATALOGUE = (
    ("Anchor", 189.0, 15.0),
    ("Barometer", 74.5, 0.9),
    ("Compass", 59.9, 0.4),
    ("Dinghy", 1240.0, 38.5),
    ("Fender", 24.9, 1.2),
    ("Flare gun", 112.0, 0.6),
    ("Lantern", 39.5, 1.1),
    ("Life jacket", 84.0, 1.5),
    ("Mooring rope", 46.0, 6.3),
    ("Oar", 32.0, 2.2),
    ("Sextant", 480.0, 1.8),
    ("Storm sail", 615.0, 4.7),
)


@strawberry.federation.type(keys=["upc"])
class Product:
    """Something for sale."""

    upc: strawberry.ID
    name: str
    price: float
    weight_kg: float

    @staticmethod
    def resolve_reference(upc: strawberry.ID) -> "Product | None":
        """The entity of a representation; None when there is no such product."""
        return _PRODUCTS.get(upc)

    def row(self) -> dict[str, Any]:
        """As REST shows it."""
        return {"upc": self.upc, "name": self.name, "price": self.price, "weightKg": self.weight_kg}


def products() -> dict[str, Product]:
    """All of them by upc, `p1` to `p12`; the same every time."""
    return {
        f"p{n}": Product(upc=strawberry.ID(f"p{n}"), name=name, price=price, weight_kg=weight_kg)
        for n, (name, price, weight_kg) in enumerate(_CATALOGUE, 1)
    }


_PRODUCTS = products()  # Strawberry resolves references on the class, which has no app to ask


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def products(self, first: int | None = _DEFAULT_FIRST) -> list[Product]:
        """The first so many, in the order of the catalogue; null is the default, as it is over REST."""
        return _first(first)

    @strawberry.field
    def product(self, upc: strawberry.ID) -> Product | None:
        """One of them."""
        return _PRODUCTS.get(upc)


def products_schema() -> strawberry.federation.Schema:
    """The subgraph's schema; `as_str()` is the SDL that `_service` gives."""
    return strawberry.federation.Schema(query=Query)


def products_app() -> Starlette:
    """The upstream: `/graphql`, `/api/products?first=`, `/api/products?upcs=p1,p2`, `/api/products/{upc}`."""
    return upstream_app([Route("/api/products", _many), Route("/api/products/{upc}", _one)], products_schema())


async def _many(request: Request) -> Response:
    upcs = listed(request, "upcs")
    if upcs is not None:
        return JSONResponse([_PRODUCTS[upc].row() for upc in dict.fromkeys(upcs) if upc in _PRODUCTS])
    first = request.query_params.get("first") or None
    if first is not None and not first.isdecimal():
        return JSONResponse({"error": "first: expected a number"}, 400)
    return JSONResponse([product.row() for product in _first(int(first) if first else None)])


async def _one(request: Request) -> Response:
    product = _PRODUCTS.get(request.path_params["upc"])
    return JSONResponse(product.row()) if product else not_found("product")


def _first(count: int | None) -> list[Product]:
    return list(_PRODUCTS.values())[: max(_DEFAULT_FIRST if count is None else count, 0)]
