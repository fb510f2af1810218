"""A Strawberry schema with one of everything, whose resolvers fail when a plan of faults says so.

What a resolver gives depends on the plan, its name and its object alone, so that two executors that call it in another
order get the same.
"""

import asyncio
import datetime
import decimal
import enum
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from random import Random
from typing import Annotated, Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.extensions import FieldExtension
from strawberry.permission import BasePermission
from strawberry.schema.config import StrawberryConfig

from loaders.keyed import keyed
from loaders.scope import LoaderScope


class Context:
    """Plan of faults, count of calls; as much of a LoaderScope as is needed."""

    def __init__(self, seed: int, rate: float) -> None:
        self.seed = seed
        self.rate = rate
        self.calls: Counter[str] = Counter()
        self.infos: Counter[str] = Counter()
        self.loaders: dict[Any, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def fault(self, place: str) -> Random | None:
        """Whether something goes wrong at a place; if so, what decides what."""
        random = Random(f"{self.seed}:{place}")
        return random if random.random() < self.rate else None


class Nonsense:
    """Nothing that a field could be."""

    def __repr__(self) -> str:
        return "<nonsense>"


def wrong(random: Random, value: Any) -> Any:
    """Another value than the right one."""
    kinds: list[Any] = [None, Nonsense(), ValueError("as a value"), GraphQLError("refused", extensions={"code": "NO"})]
    kinds += [True, 2**40, 1.5, float("nan"), "17", "", [], {}, decimal.Decimal("3.5"), (), b"x"]
    if isinstance(value, list):
        kinds += [value[:-1], [*value, None], tuple(value), iter(value), [*value, KeyError("in a list")]]
    return random.choice(kinds)


def given(context: Context, place: str, value: Any) -> Any:
    """What a resolver gives, or raises, in the end."""
    context.calls[place] += 1
    random = context.fault(place)
    if random is None:
        return value
    if random.random() < 0.4:
        raise random.choice([RuntimeError(f"at {place}"), GraphQLError(f"no {place}"), KeyError(place)])
    return wrong(random, value)


Money = NewType("Money", int)


def _money(value: Any) -> Any:
    """As JSON of more than one kind; refuses what is no whole number."""
    if type(value) is not int:
        raise ValueError(f"{value!r} is no money")
    return {"cents": value}


@strawberry.enum
class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"
    BLUE = strawberry.enum_value("b", name="AZURE")


class Yes(BasePermission):
    message = "not you"

    def has_permission(self, source: Any, info: strawberry.Info, **_: Any) -> bool:
        return info.context.fault(f"permission {info.field_name} {getattr(source, 'id', '')}") is None


class YesLater(BasePermission):
    message = "not you, after a while"

    async def has_permission(self, source: Any, info: strawberry.Info, **_: Any) -> bool:
        await asyncio.sleep(0)
        return info.context.fault(f"permission {info.field_name} {getattr(source, 'id', '')}") is None


class Shout(FieldExtension):
    def resolve(self, next_: Callable[..., Any], source: Any, info: strawberry.Info, **given: Any) -> Any:
        value = next_(source, info, **given)
        return value.upper() if isinstance(value, str) else value

    async def resolve_async(
        self, next_: Callable[..., Awaitable[Any]], source: Any, info: strawberry.Info, **given: Any
    ) -> Any:
        value = await next_(source, info, **given)
        return value.upper() if isinstance(value, str) else value


@strawberry.type
class Leaves:
    id: strawberry.ID
    text: str
    text_or_null: str | None
    whole: int
    whole_or_null: int | None
    real: float
    real_or_null: float | None
    flag: bool
    colour: Colour
    colour_or_null: Colour | None
    money: Money
    day: datetime.date
    exact: decimal.Decimal | None
    words: list[str]
    words_or_nulls: list[str | None] | None
    grid: list[list[int | None]]
    renamed: str = strawberry.field(name="otherName")


def leaves(context: Context, at: str) -> Leaves:
    """Leaves, with a fault in some."""
    right: dict[str, Any] = {
        "id": at,
        "text": "t" + at,
        "text_or_null": None,
        "whole": len(at),
        "whole_or_null": 3,
        "real": 1.5,
        "real_or_null": None,
        "flag": True,
        "colour": Colour.GREEN,
        "colour_or_null": Colour.BLUE,
        "money": 7,
        "day": datetime.date(2026, 1, 2),
        "exact": decimal.Decimal("1.10"),
        "words": ["a", "b"],
        "words_or_nulls": ["a", None],
        "grid": [[1, None], [], [2]],
        "renamed": "r",
    }
    for name, value in right.items():
        random = context.fault(f"{at}.{name}")
        if random is not None and name != "id":
            right[name] = wrong(random, value)
    made = Leaves(**right)
    random = context.fault(f"{at} lacks")
    if random is not None:
        delattr(made, random.choice([name for name in right if name != "id"]))
    return made


@strawberry.interface
class Named:
    id: strawberry.ID
    name: str

    @strawberry.field
    def label(self, info: strawberry.Info) -> str:
        return str(given(info.context, f"label {self.id}", f"<{self.name}>"))


@strawberry.type
class Cat(Named):
    lives: int

    @strawberry.field
    async def enemy(self, info: strawberry.Info) -> "Named | None":
        await asyncio.sleep(0)
        value: Named | None = given(info.context, f"enemy {self.id}", named(info.context, f"{self.id}e"))
        return value


@strawberry.type
class Dog(Named):
    good: bool
    leaf: Leaves | None


@strawberry.type
class Stone:
    id: strawberry.ID
    weight: float


Anything = Annotated[Cat | Dog | Stone, strawberry.union("Anything")]


def named(context: Context, at: str) -> Any:
    """A cat or a dog."""
    if len(at) % 2:
        return Cat(id=strawberry.ID(at), name="c" + at, lives=9)
    return Dog(id=strawberry.ID(at), name="d" + at, good=True, leaf=leaves(context, at + "l"))


def anything(context: Context, at: str) -> Any:
    """A stone, or what `named` gives."""
    return Stone(id=strawberry.ID(at), weight=2.5) if at.endswith("0") else named(context, at)


@strawberry.input
class Box:
    size: int = 2
    label: str | None = None
    inner: "Box | None" = None


@strawberry.type
class Partner:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def met(self, info: strawberry.Info) -> str:
        value: str = given(info.context, f"met {self.id}", "here")
        return value

    @strawberry.field
    def thing(self, info: strawberry.Info) -> "Thing | None":
        value: Thing | None = given(info.context, f"thing {self.id}", thing(info.context, f"{self.id}t"))
        return value


async def _partners(ids: list[str], scope: LoaderScope) -> Sequence[Any]:
    context: Any = scope
    await asyncio.sleep(0)
    found = []
    for key in ids:
        try:
            found.append(given(context, f"partner {key}", Partner(id=strawberry.ID(key), name="n" + key)))
        except Exception as error:  # noqa: BLE001
            found.append(error)
    return found


partners = keyed(Partner, _partners)


@strawberry.type
class Thing:
    id: strawberry.ID
    title: str
    partner_id: strawberry.Private[str | None]
    leaf: Leaves
    leaf_or_null: Leaves | None
    many: list[Leaves]
    many_or_nulls: list[Leaves | None] | None
    square: list[list[Leaves | None]]
    pet: Named | None
    pets: list[Named]
    partner: "Partner | None" = partners.field(by="partner_id")

    @strawberry.field
    def plain(self) -> str:
        return "p" + self.id

    @strawberry.field
    def told(self, info: strawberry.Info) -> str | None:
        raw = info._raw_info
        said = (
            f"{info.field_name} {info.path.as_list()} {info.path.typename} {info.return_type} {info.variable_values}"
            f" {raw.parent_type} {len(raw.field_nodes)} {type(raw).__name__} {len(info.selected_fields)}"
            f" {info.operation.name} {sorted(raw.fragments)} {info.schema is schema} {info.python_name}"
        )
        info.context.infos[said] += 1
        value: str | None = given(info.context, f"told {self.id}", "yes")
        return value

    @strawberry.field
    def strict(self, info: strawberry.Info) -> int:
        value: int = given(info.context, f"strict {self.id}", 5)
        return value

    @strawberry.field
    async def later(self, info: strawberry.Info) -> int | None:
        await asyncio.sleep(0)
        value: int | None = given(info.context, f"later {self.id}", 6)
        return value

    @strawberry.field
    async def strict_later(self, info: strawberry.Info) -> Colour:
        value: Colour = given(info.context, f"strictLater {self.id}", Colour.RED)
        return value

    @strawberry.field
    def sum(
        self,
        info: strawberry.Info,
        a: int = 1,
        b: int | None = None,
        box: Box | None = None,
        of: list[int] | None = None,
    ) -> str:
        size = "" if box is None else f"{box.size}{box.label}{box.inner}"
        value: str = given(info.context, f"sum {self.id}", f"{a} {b} {size} {of}")
        return value

    @strawberry.field
    def paint(self, info: strawberry.Info, colour: Colour, day: datetime.date | None = None) -> Colour:
        value: Colour = given(info.context, f"paint {self.id} {day}", colour)
        return value

    @strawberry.field(permission_classes=[Yes])  # type: ignore[untyped-decorator]
    def secret(self, info: strawberry.Info) -> str | None:
        value: str | None = given(info.context, f"secret {self.id}", "s")
        return value

    @strawberry.field(permission_classes=[YesLater])  # type: ignore[untyped-decorator]
    async def late_secret(self, info: strawberry.Info) -> str:
        value: str = given(info.context, f"lateSecret {self.id}", "s")
        return value

    @strawberry.field(extensions=[Shout()])  # type: ignore[untyped-decorator]
    def shouted(self, info: strawberry.Info) -> str | None:
        value: str | None = given(info.context, f"shouted {self.id}", "loud")
        return value

    @strawberry.field(extensions=[Shout()])  # type: ignore[untyped-decorator]
    async def shouted_later(self, info: strawberry.Info) -> str | None:
        value: str | None = given(info.context, f"shoutedLater {self.id}", "loud")
        return value

    @strawberry.field
    def next(self, info: strawberry.Info) -> "Thing | None":
        value: Thing | None = given(info.context, f"next {self.id}", thing(info.context, f"{self.id}n"))
        return value

    @strawberry.field
    def rows(self, info: strawberry.Info, first: int = 2) -> list["Thing"]:
        value: list[Thing] = given(
            info.context, f"rows {self.id} {first}", [thing(info.context, f"{self.id}{i}") for i in range(first)]
        )
        return value

    @strawberry.field
    async def later_rows(self, info: strawberry.Info) -> list["Thing | None"] | None:
        await asyncio.sleep(0)
        value: list[Thing | None] | None = given(
            info.context, f"laterRows {self.id}", [thing(info.context, f"{self.id}{i}") for i in range(2)] + [None]
        )
        return value

    @strawberry.field
    def generated(self, info: strawberry.Info) -> list["Thing"]:
        def items() -> Iterator[Thing]:
            for i in range(2):
                value: Thing = given(info.context, f"generated {self.id} {i}", thing(info.context, f"{self.id}g{i}"))
                yield value

        made: Any = items()
        return made  # type: ignore[no-any-return]

    @strawberry.field
    async def streamed(self, info: strawberry.Info) -> list["Thing | None"] | None:
        async def items() -> AsyncIterator[Thing]:
            for i in range(2):
                value: Thing = given(info.context, f"streamed {self.id} {i}", thing(info.context, f"{self.id}s{i}"))
                yield value

        made: Any = items()
        return made  # type: ignore[no-any-return]

    @strawberry.field
    def promised(self, info: strawberry.Info) -> "Thing | None":
        async def one() -> Any:
            return given(info.context, f"promised {self.id}", thing(info.context, f"{self.id}p"))

        made: Any = one()
        return made  # type: ignore[no-any-return]

    @strawberry.field
    def promises(self, info: strawberry.Info) -> list["Thing | None"]:
        async def one(i: int) -> Any:
            return given(info.context, f"promises {self.id} {i}", thing(info.context, f"{self.id}q{i}"))

        made: Any = [one(i) if i else thing(info.context, f"{self.id}q0") for i in range(3)]
        return made  # type: ignore[no-any-return]

    @strawberry.field
    def cubes(self, info: strawberry.Info) -> list[list["Thing | None"] | None] | None:
        at = f"{self.id}c"
        value: Any = given(
            info.context,
            f"cubes {self.id}",
            [[thing(info.context, at), None], None, [], [thing(info.context, at + "1")]],
        )
        return value  # type: ignore[no-any-return]

    @strawberry.field
    def something(self, info: strawberry.Info) -> Anything:
        value: Any = given(info.context, f"something {self.id}", anything(info.context, f"{self.id}y"))
        return value  # type: ignore[no-any-return]

    @strawberry.field
    async def things(self, info: strawberry.Info) -> list[Anything | None]:
        found = [anything(info.context, f"{self.id}{i}") for i in range(3)]
        value: Any = given(info.context, f"things {self.id}", [*found, None])
        return value  # type: ignore[no-any-return]


def thing(context: Context, at: str) -> Thing:
    """A thing, with a fault in some attributes."""
    below = leaves(context, at + "a")
    right: dict[str, Any] = {
        "title": "T" + at,
        "partner_id": at[:2] if len(at) % 3 else None,
        "leaf": below,
        "leaf_or_null": None if len(at) % 2 else leaves(context, at + "b"),
        "many": [leaves(context, f"{at}m{i}") for i in range(2)],
        "many_or_nulls": [below, None],
        "square": [[below, None], []],
        "pet": named(context, at + "f"),
        "pets": [named(context, at + "g"), named(context, at + "gg")],
    }
    for name, value in right.items():
        random = context.fault(f"{at}.{name}")
        if random is not None and name != "partner_id":
            right[name] = wrong(random, value)
    return Thing(id=strawberry.ID(at), **right)


@strawberry.type
class Query:
    nothing: int = 3

    @strawberry.field
    def start(self, info: strawberry.Info) -> Thing:
        value: Thing = given(info.context, "start", thing(info.context, "x"))
        return value

    @strawberry.field
    async def begin(self, info: strawberry.Info, at: strawberry.ID = strawberry.ID("z")) -> Thing | None:  # noqa: B008
        await asyncio.sleep(0)
        value: Thing | None = given(info.context, f"begin {at}", thing(info.context, at))
        return value

    @strawberry.field
    def all(self, info: strawberry.Info) -> list[Thing | None]:
        return [given(info.context, f"all {i}", thing(info.context, str(i))) for i in range(4)]

    @strawberry.field
    def number(self) -> int:
        return 42


@strawberry.type
class Mutation:
    @strawberry.mutation
    def change(self, info: strawberry.Info) -> Thing | None:
        value: Thing | None = given(info.context, "change", thing(info.context, "m"))
        return value

    @strawberry.mutation
    async def amend(self, info: strawberry.Info, at: strawberry.ID = strawberry.ID("y")) -> Thing | None:  # noqa: B008
        await asyncio.sleep(0)
        value: Thing | None = given(info.context, f"amend {at}", thing(info.context, at))
        return value

    @strawberry.mutation
    def must(self, info: strawberry.Info) -> Thing:
        value: Thing = given(info.context, "must", thing(info.context, "n"))
        return value

    @strawberry.mutation
    async def many(self, info: strawberry.Info) -> list[Thing | None]:
        await asyncio.sleep(0)
        return [given(info.context, f"many {i}", thing(info.context, str(i))) for i in range(3)]


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[Cat, Dog],
    config=StrawberryConfig(scalar_map={Money: strawberry.scalar(name="Money", serialize=_money)}),
)
