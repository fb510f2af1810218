"""What the matrix's gateway serves: rows of three services, and a look inside its process."""

import asyncio
import gc
import sys

import strawberry

from loaders.batched import batched

SERVICES = {"orders": "order", "stocks": "stock", "prices": "price"}
"""The services, each with the field that asks it."""


@strawberry.type
class Order:
    id: strawberry.ID
    text: str


@strawberry.type
class Stock:
    id: strawberry.ID
    text: str


@strawberry.type
class Price:
    id: strawberry.ID
    text: str


def _graphql(collection: str) -> str:
    return f"query ($ids: [ID!]!) {{ {collection}(ids: $ids) {{ id text }} }}"


_orders = batched(Order, service="orders", key="id", graphql=_graphql("orders"), rest="GET /orders{?ids}")
_stocks = batched(Stock, service="stocks", key="id", graphql=_graphql("stocks"), rest="GET /stocks{?ids}")
_prices = batched(Price, service="prices", key="id", graphql=_graphql("prices"), rest="GET /prices{?ids}")


@strawberry.type
class Query:
    order: Order | None = _orders.one()
    stock: Stock | None = _stocks.one()
    price: Price | None = _prices.one()

    @strawberry.field
    def tasks(self) -> int:
        """Tasks of the process, that of this request among them."""
        return len(asyncio.all_tasks())

    @strawberry.field
    def blocks(self) -> int:
        """Pieces of memory that Python's objects are in, once garbage has been collected."""
        gc.collect()
        return sys.getallocatedblocks()
