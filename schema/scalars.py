"""Scalars that GraphQL has no word for."""

from typing import NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

Long = NewType("Long", int)
"""A count that may outgrow the 32 bits of GraphQL's `Int`: a busy month of calls does."""

SCALARS: dict[object, ScalarDefinition] = {
    Long: strawberry.scalar(
        name="Long", description="A whole number of up to 53 bits: exact in JSON, too long for `Int`.", serialize=int
    )
}
