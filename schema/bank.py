"""Accounts at the bank: an outside service, slow, and not always there."""

import strawberry

from loaders.batched import batched


@strawberry.type(description="A customer's account at the bank.")
class Account:
    """A customer's account at the bank."""

    customer_id: strawberry.ID
    account_number: str
    balance: float
    currency: str


accounts_by_customer = batched(
    Account, service="bank", key="customer_id", by="customerIds", rest="GET /accounts{?customerIds}"
)
