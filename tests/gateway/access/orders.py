"""Declared fields, guarded."""

import strawberry

from loaders.fields import upstream_field
from schema.access import policy, requires
from schema.customers import Customer, customers_by_id


@strawberry.type
class Order:
    """An invoice, under another name."""

    number: str
    total: float | None = strawberry.field(default=None, directives=[requires("totals")])
    customer_id: strawberry.Private[str] = ""
    customer: Customer | None = customers_by_id.field(by="customer_id", directives=[policy("clerk")])


def _orders(name: str, **options: object) -> list[Order | None] | None:
    found: list[Order | None] | None = upstream_field(
        Order,
        service="invoices",
        name=name,
        many=True,
        graphql="query ($first: Int = 10) { invoices(first: $first) { number total customerId } }",
        field=options,
    )
    return found


@strawberry.type
class Query:
    """Orders."""

    orders: list[Order | None] | None = _orders("orders")
    secret_orders: list[Order | None] | None = _orders("secretOrders", directives=[requires("orders")])
