"""The invoices upstream: 120 invoices of the forty customers, over GraphQL and REST, and a way to pay them."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.http import not_found, upstream_app

_COUNT = 120
_CUSTOMERS = 40
_STATUSES = ("OPEN", "PAID", "OPEN", "OVERDUE")


@strawberry.type
class Invoice:
    """A bill."""

    id: strawberry.ID
    number: str
    total: float
    currency: str
    status: str
    issued_on: date
    customer_id: strawberry.ID

    def row(self) -> dict[str, Any]:
        """As REST shows it."""
        return {
            "id": self.id,
            "number": self.number,
            "total": self.total,
            "currency": self.currency,
            "status": self.status,
            "issuedOn": self.issued_on.isoformat(),
            "customerId": self.customer_id,
        }


def invoices() -> dict[str, Invoice]:
    """All of them by id; the same every time. Any forty in a row have forty customers."""
    found = {}
    for n in range(1, _COUNT + 1):
        key = str(1000 + n)
        found[key] = Invoice(
            id=strawberry.ID(key),
            number=f"INV-2026-{n:04}",
            total=round(40 + n * 37.35 % 960, 2),
            currency="EUR",
            status=_STATUSES[n % len(_STATUSES)],
            issued_on=date(2026, 1, 1) + timedelta(days=2 * n),
            customer_id=strawberry.ID(str(n * 7 % _CUSTOMERS + 1)),
        )
    return found


class _Ledger:
    """The invoices of one running upstream; paying one changes it until the process ends."""

    def __init__(self) -> None:
        self._invoices = invoices()

    def select(self, first: int | None, customer_id: str | None) -> list[Invoice]:
        chosen = [i for i in self._invoices.values() if customer_id is None or i.customer_id == customer_id]
        return chosen if first is None else chosen[: max(first, 0)]

    def get(self, key: str) -> Invoice | None:
        return self._invoices.get(key)

    def pay(self, key: str) -> Invoice | None:
        """Mark an invoice as paid; paying twice changes nothing."""
        invoice = self._invoices.get(key)
        if invoice is not None:
            self._invoices[key] = invoice = replace(invoice, status="PAID")
        return invoice


def invoices_app() -> Starlette:
    """The upstream: `/graphql`, `/api/invoices?first=&customerId=`, `/api/invoices/{id}`, POST `…/pay`."""
    ledger = _Ledger()

    @strawberry.type
    class Query:
        @strawberry.field
        def invoices(self, first: int | None = None, customer_id: strawberry.ID | None = None) -> list[Invoice]:
            return ledger.select(first, customer_id)

        @strawberry.field
        def invoice(self, id: strawberry.ID) -> Invoice | None:  # noqa: A002 - an argument of the schema
            return ledger.get(id)

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def pay_invoice(self, id: strawberry.ID) -> Invoice | None:  # noqa: A002 - an argument of the schema
            return ledger.pay(id)

    async def many(request: Request) -> Response:
        first = request.query_params.get("first") or None
        if first is not None and not first.isdecimal():
            return JSONResponse({"error": "first: expected a number"}, 400)
        chosen = ledger.select(int(first) if first else None, request.query_params.get("customerId") or None)
        return JSONResponse([invoice.row() for invoice in chosen])

    async def one(request: Request) -> Response:
        invoice = ledger.get(request.path_params["id"])
        return JSONResponse(invoice.row()) if invoice else not_found("invoice")

    async def pay(request: Request) -> Response:
        invoice = ledger.pay(request.path_params["id"])
        return JSONResponse(invoice.row()) if invoice else not_found("invoice")

    return upstream_app(
        [
            Route("/api/invoices", many),
            Route("/api/invoices/{id}", one),
            Route("/api/invoices/{id}/pay", pay, methods=["POST"]),
        ],
        strawberry.Schema(query=Query, mutation=Mutation),
    )
