"""The reviews upstream: sixty opinions of the forty customers, a Federation 2 subgraph without REST."""

from statistics import fmean

import strawberry
from starlette.applications import Starlette

from demo.http import upstream_app

_COUNT = 60
_CUSTOMERS = 40
_REVIEWED = 11  # the twelfth product is still waiting for its first review
_DEFAULT_FIRST = 5
_RATINGS = (5, 4, 5, 3, 4, 2, 1)
_BODIES = {
    1: ("Broke on the first day out.", "Sank."),
    2: ("Not what the picture shows.", "Rusts sooner than it should."),
    3: ("Does what it says.", "Good enough for a lake."),
    4: ("Solid work, slow delivery.", "Would buy it again."),
    5: ("Held through a force nine.", "Better than the one it replaced."),
}


@strawberry.federation.type(keys=["upc"])
class Product:
    """What this subgraph knows of a product that another one owns."""

    upc: strawberry.ID

    @staticmethod
    def resolve_reference(upc: strawberry.ID) -> "Product":
        """The entity of a representation; a product nobody knows is one without reviews."""
        return Product(upc=upc)

    @strawberry.field
    def reviews(self, first: int | None = _DEFAULT_FIRST) -> list["Review"] | None:
        """The latest first; null is the default."""
        return _latest(_of(self.upc), first)

    @strawberry.field
    def average_rating(self) -> float | None:
        """From 1 to 5, to two places; null without reviews."""
        ratings = [review.rating for review in _of(self.upc)]
        return round(fmean(ratings), 2) if ratings else None


@strawberry.federation.type(keys=["id"])
class Review:
    """What a customer thinks of a product."""

    id: strawberry.ID
    body: str
    rating: int
    customer_id: strawberry.ID
    product: Product | None

    @staticmethod
    def resolve_reference(id: strawberry.ID) -> "Review | None":  # noqa: A002 - the name of the key
        """The entity of a representation; None when there is no such review."""
        return _REVIEWS.get(id)


def reviews() -> dict[str, Review]:
    """All of them by id, `r1` (the oldest) to `r60`; the same every time. Every customer has written one or two."""
    found = {}
    for n in range(1, _COUNT + 1):
        key = f"r{n}"
        rating = _RATINGS[n % len(_RATINGS)]
        found[key] = Review(
            id=strawberry.ID(key),
            body=_BODIES[rating][n % 2],
            rating=rating,
            customer_id=strawberry.ID(str(n * 13 % _CUSTOMERS + 1)),
            product=Product(upc=strawberry.ID(f"p{n * 5 % _REVIEWED + 1}")),
        )
    return found


_REVIEWS = reviews()  # Strawberry resolves references on the class, which has no app to ask


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def latest_reviews(self, first: int | None = _DEFAULT_FIRST) -> list[Review]:
        """Those of all products, the latest first; null is the default."""
        return _latest([*_REVIEWS.values()], first)


def reviews_schema() -> strawberry.federation.Schema:
    """The subgraph's schema; `as_str()` is the SDL that `_service` gives."""
    return strawberry.federation.Schema(query=Query)


def reviews_app() -> Starlette:
    """The upstream: `/graphql` alone."""
    return upstream_app([], reviews_schema())


def _of(upc: str) -> list[Review]:
    return [review for review in _REVIEWS.values() if review.product and review.product.upc == upc]


def _latest(chosen: list[Review], count: int | None) -> list[Review]:
    return chosen[::-1][: max(_DEFAULT_FIRST if count is None else count, 0)]
