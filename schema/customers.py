"""Customers: rows by id."""

import strawberry

from loaders.batched import batched


@strawberry.type(description="Somebody who buys.")
class Customer:
    """Somebody who buys."""

    id: strawberry.ID
    name: str
    email: str
    tier: str


customers_by_id = batched(
    Customer,
    service="customers",
    key="id",
    graphql="query ($ids: [ID!]!) { customers(ids: $ids) { id name email tier } }",
    rest="GET /customers{?ids}",
)


@strawberry.type
class Query:
    """Fields about customers."""

    customers: list[Customer | None] = customers_by_id.many(description="Customers by their ids, in that order.")
    customer: Customer | None = customers_by_id.one(description="One customer; null when there is no such one.")
