"""Customers: rows by id, and what the bank knows of them."""

import strawberry

from loaders.batched import batched
from schema.bank import Account, accounts_by_customer


@strawberry.type(description="Somebody who buys.")
class Customer:
    """Somebody who buys."""

    id: strawberry.ID = strawberry.field(description="Their number.")
    name: str = strawberry.field(description="What they are called.")
    email: str = strawberry.field(description="Where invoices go.")
    tier: str = strawberry.field(description="How much they buy: GOLD, SILVER or BRONZE.")
    account: Account | None = accounts_by_customer.field(by="id", description="Their account at the bank.")

    @strawberry.field(description="What is in their account; null when the bank does not say.")
    async def balance(self, info: strawberry.Info) -> float | None:
        """Written out by hand, on the same loader as `account`."""
        account: Account | None = await accounts_by_customer.load(self.id, info)
        return account.balance if account is not None else None


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
