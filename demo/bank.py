"""The bank upstream: one account a customer, REST only; slow and flaky by nature."""

from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.faulty import Temper
from demo.http import listed, not_found, upstream_app

TEMPER = Temper(min_delay_s=0.15, max_delay_s=0.4, failure_rate=0.1)
"""What the bank is like on a normal day: 150 to 400 ms, and one answer in ten is a 503."""

_COUNT = 40


@dataclass(frozen=True, slots=True)
class Account:
    """A customer's account; the number is not for logs."""

    customer_id: str
    account_number: str
    balance: float
    currency: str = "EUR"

    def row(self) -> dict[str, Any]:
        """As REST shows it."""
        return {
            "customerId": self.customer_id,
            "accountNumber": self.account_number,
            "balance": self.balance,
            "currency": self.currency,
        }


def accounts() -> dict[str, Account]:
    """All of them by customer id; the same every time."""
    return {
        str(n): Account(
            customer_id=str(n), account_number=_iban(f"BRKW{n * 7_919_003:014}"), balance=round(n * 613.7 % 9000, 2)
        )
        for n in range(1, _COUNT + 1)
    }


def bank_app() -> Starlette:
    """The upstream: `/api/accounts?customerIds=1,2` and `/api/accounts/{customerId}`."""
    data = accounts()

    async def many(request: Request) -> Response:
        ids = listed(request, "customerIds")
        if ids is None:
            return JSONResponse({"error": "customerIds: say whose accounts"}, 400)
        return JSONResponse([data[key].row() for key in dict.fromkeys(ids) if key in data])

    async def one(request: Request) -> Response:
        account = data.get(request.path_params["id"])
        return JSONResponse(account.row()) if account else not_found("account")

    return upstream_app([Route("/api/accounts", many), Route("/api/accounts/{id}", one)])


def _iban(account: str, country: str = "XB") -> str:
    """An IBAN with true check digits (ISO 13616), in a country code that ISO 3166 gives to nobody."""
    digits = "".join(str(int(c, 36)) for c in f"{account}{country}00")
    return f"{country}{98 - int(digits) % 97:02}{account}"
