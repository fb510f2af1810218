"""Reviews belong to another subgraph; here they get their authors, who are customers of this one."""

import strawberry
import strawberry.federation

from schema.customers import Customer, customers_by_id


@strawberry.federation.type(keys=["id"])
class Review:
    """An entity of the reviews subgraph, extended."""

    id: strawberry.ID
    customer_id: strawberry.ID = strawberry.federation.field(external=True)

    @strawberry.federation.field(requires=["customerId"], description="Who wrote it.")
    async def author(self, info: strawberry.Info) -> Customer | None:
        """By the loader of customers, so that all reviews of an answer make one call."""
        author: Customer | None = await customers_by_id.load(self.customer_id, info)
        return author
