"""Accounts at the bank: an outside service, slow, and not always there."""

import strawberry

from loaders.batched import batched


@strawberry.type(description="A customer's account at the bank.")
class Account:
    """A customer's account at the bank. The whole number stays in the gateway."""

    customer_id: strawberry.Private[str]
    account_number: strawberry.Private[str]
    balance: float = strawberry.field(description="What is in it.")
    currency: str = strawberry.field(description="ISO 4217 code of the balance.")

    @strawberry.field(description="The account number, all but its last four characters hidden.")
    def masked_number(self) -> str:
        """For people to recognise it by."""
        return "…" + self.account_number[-4:]


accounts_by_customer = batched(
    Account, service="bank", key="customer_id", by="customerIds", rest="GET /accounts{?customerIds}"
)
