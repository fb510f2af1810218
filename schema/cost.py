"""What fields and types cost, and how long lists are, said where they are declared; read when `limits.cost` is set.

```python
@strawberry.field(directives=[ListSize(slicing_arguments=["first"])])
async def invoices(self, first: int = 10) -> list[Invoice]: ...
```
"""

import strawberry
from strawberry.schema_directive import Location


@strawberry.schema_directive(
    locations=[
        Location.ARGUMENT_DEFINITION,
        Location.ENUM,
        Location.FIELD_DEFINITION,
        Location.INPUT_FIELD_DEFINITION,
        Location.OBJECT,
        Location.SCALAR,
    ]
)
class Cost:
    """What one value costs; by default 1 for an object and nothing for anything else."""

    weight: int


@strawberry.schema_directive(locations=[Location.FIELD_DEFINITION])
class ListSize:
    """How many items a list has at most.

    Attributes:
        assumed_size: where no slicing argument says it.
        slicing_arguments: names of arguments that say it (`first`), or paths into them (`page.size`).
        sized_fields: the lists below that it is said for, where the field itself is none (`edges`).
        require_one_slicing_argument: an operation has to give exactly one of them.
    """

    assumed_size: int | None = strawberry.UNSET
    slicing_arguments: list[str] | None = strawberry.UNSET
    sized_fields: list[str] | None = strawberry.UNSET
    require_one_slicing_argument: bool = True
