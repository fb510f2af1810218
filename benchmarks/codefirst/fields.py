"""The schema of the code-first workload, as `imports` in its gateway.yaml names it."""

from collections.abc import Sequence

import strawberry

from loaders.keyed import keyed
from loaders.scope import LoaderScope


@strawberry.type(description="Somebody who buys.")
class Customer:
    """Somebody who buys."""

    id: strawberry.ID
    name: str
    email: str


async def load_customers(ids: list[str], _: LoaderScope | None) -> Sequence[Customer]:
    """One for each id."""
    return [Customer(id=strawberry.ID(key), name="n" + key, email="e@" + key) for key in ids]


customers = keyed(Customer, load_customers)


@strawberry.type(description="What a customer owes.")
class Invoice:
    """What a customer owes."""

    id: strawberry.ID
    number: str
    total: float
    currency: str
    customer_id: strawberry.Private[str]
    customer: Customer | None = customers.field(by="customer_id")


INVOICES = [
    Invoice(id=strawberry.ID(str(i)), number=f"N{i}", total=1.5 * i, currency="EUR", customer_id=str(i % 40))
    for i in range(100)
]


@strawberry.type
class Query:
    """The workload's only field."""

    @strawberry.field
    async def invoices(self) -> list[Invoice]:
        """All of them."""
        return INVOICES
