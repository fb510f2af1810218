"""From a Strawberry type to the row that an upstream sends, and back."""

import datetime
import decimal
import enum
from typing import Annotated, Any

import msgspec
import pytest
import strawberry

from clients.operation import OperationError
from loaders.rows import row_mapping


@strawberry.enum
class Tier(enum.Enum):
    GOLD = "gold"
    BASIC = 1


@strawberry.type
class Address:
    street_name: str
    tier: Tier | None = None


@strawberry.type
class Person:
    id: strawberry.ID
    first_name: str
    tier: Tier
    home: Address
    secret: strawberry.Private[str]
    named: str = strawberry.field(name="differently")
    tiers: list[Tier] = strawberry.field(default_factory=list)
    places: list[Address | None] | None = None
    born: datetime.date | None = None
    score: float = 0.5
    friend_ids: list[strawberry.ID] = strawberry.field(default_factory=list)
    note: Annotated[str, "free text"] = ""

    @strawberry.field
    def initial(self) -> str:
        """Has a resolver, so no row has it."""
        return self.first_name[0]


FULL = {
    "id": 7,
    "firstName": "Ada",
    "tier": "GOLD",
    "home": {"streetName": "Main", "tier": "gold"},
    "secret": "s",
    "differently": "d",
    "tiers": ["BASIC", 1, "gold"],
    "places": [None, {"streetName": "Side"}],
    "born": "1815-12-10",
    "friendIds": [1, "2"],
    "unknown": {"is": "skipped"},
}


def decode(kind: Any, value: Any) -> Any:
    mapping = row_mapping(kind)
    return mapping.make(msgspec.json.decode(msgspec.json.encode(value), type=mapping.row))


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in FULL.items() if name not in names}


def test_a_row_becomes_an_instance_with_names_ids_enums_and_nested_types() -> None:
    person = decode(Person, FULL)
    assert isinstance(person, Person)
    assert (person.id, person.first_name, person.named, person.secret) == ("7", "Ada", "d", "s")
    assert (person.tier, person.tiers) == (Tier.GOLD, [Tier.BASIC, Tier.BASIC, Tier.GOLD])
    assert person.home == Address(street_name="Main", tier=Tier.GOLD)
    assert person.places == [None, Address(street_name="Side")]
    assert person.born == datetime.date(1815, 12, 10)
    assert person.friend_ids == ["1", "2"]


def test_what_may_be_missing_is_what_has_a_default_or_may_be_null() -> None:
    assert row_mapping(Person).required == {"id", "firstName", "tier", "home", "secret", "differently"}
    person = decode(Person, without("tiers", "places", "born", "friendIds"))
    assert (person.tiers, person.places, person.born, person.score, person.note) == ([], None, None, 0.5, "")


def test_a_required_value_that_is_missing_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field `firstName`"):
        decode(Person, without("firstName"))
    with pytest.raises(msgspec.ValidationError, match=r"missing required field `streetName` - at `\$.home`"):
        decode(Person, {**FULL, "home": {}})
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str`, got `null` - at `\$.firstName`"):
        decode(Person, {**FULL, "firstName": None})


def test_an_enum_member_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="a value is none of Tier"):
        decode(Person, {**FULL, "tier": "platinum"})


def test_a_type_of_one_attribute() -> None:
    assert decode(Address, {"streetName": "x"}) == Address(street_name="x")

    @strawberry.type
    class Only:
        value: int

    assert decode(Only, {"value": 1}).value == 1


@pytest.mark.parametrize(
    ("kind", "sent", "value"),
    [
        (float | None, None, None),
        (float | None, 1.5, 1.5),
        (int, 3, 3),
        (list[int], [1], [1]),
        (strawberry.ID, 7, "7"),
        (Tier, "GOLD", Tier.GOLD),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
    ],
)
def test_scalars_are_rows_by_themselves(kind: Any, sent: Any, value: Any) -> None:
    mapping = row_mapping(kind)
    row = msgspec.json.decode(msgspec.json.encode(sent), type=mapping.row)
    assert (None if row is None else mapping.make(row)) == value
    assert mapping.required == frozenset()


def test_a_union_has_no_row() -> None:
    @strawberry.type
    class Mixed:
        value: int | str

    with pytest.raises(OperationError, match="a row's field has one type"):
        row_mapping(Mixed)


@strawberry.type
class Node:
    id: strawberry.ID
    parent: "Node | None"


def test_a_type_that_contains_itself_has_no_row() -> None:
    with pytest.raises(OperationError, match="Node contains itself"):
        row_mapping(Node)
