"""Invoices, and who owes them."""

import datetime

import strawberry

from loaders.fields import upstream_field
from schema.customers import Customer, customers_by_id

_FIELDS = "id number total currency status issuedOn customerId"


@strawberry.type(description="What a customer owes, or owed.")
class Invoice:
    """What a customer owes, or owed."""

    id: strawberry.ID = strawberry.field(description="What it is asked for by.")
    number: str = strawberry.field(description="What is printed on it.")
    total: float = strawberry.field(description="What is owed.")
    currency: str = strawberry.field(description="ISO 4217 code of the total.")
    status: str = strawberry.field(description="OPEN, PAID or OVERDUE.")
    issued_on: datetime.date = strawberry.field(description="The day it was written.")
    customer_id: strawberry.Private[str]
    customer: Customer | None = customers_by_id.field(by="customer_id", description="Who owes it.")


@strawberry.type
class Query:
    """Fields about invoices."""

    invoices: list[Invoice | None] | None = upstream_field(
        Invoice,
        service="invoices",
        name="invoices",
        many=True,
        graphql=f"query ($first: Int = 10) {{ invoices(first: $first) {{ {_FIELDS} }} }}",
        rest="GET /invoices{?first}",
        field={"description": "The first invoices."},
    )
    invoice: Invoice | None = upstream_field(
        Invoice,
        service="invoices",
        name="invoice",
        graphql=f"query ($id: ID!) {{ invoice(id: $id) {{ {_FIELDS} }} }}",
        rest="GET /invoices/{id}",
        field={"description": "One invoice; null when there is no such one."},
    )


@strawberry.type
class Mutation:
    """Changes to invoices."""

    pay_invoice: Invoice | None = upstream_field(
        Invoice,
        service="invoices",
        name="payInvoice",
        graphql=f"mutation ($id: ID!) {{ payInvoice(id: $id) {{ {_FIELDS} }} }}",
        rest="POST /invoices/{id}/pay",
        field={"description": "Mark an invoice as paid. Sent once, never again, whatever happens."},
    )
