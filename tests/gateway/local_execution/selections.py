"""Random operations over a schema, the same for the same seed."""

from random import Random

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    OperationType,
    get_named_type,
    is_leaf_type,
)

_ARGUMENTS = {
    "sum": [
        "",
        "(a: 3)",
        "(b: $n)",
        "(box: {label: $s})",
        "(box: {size: 4, inner: {label: null}}, of: [1, $n2])",
        "(of: 3)",
    ],
    "paint": ["(colour: RED)", '(colour: $c, day: "2026-03-04")', "(colour: AZURE, day: null)"],
    "rows": ["", "(first: 1)", "(first: $n2)", "(first: 0)"],
    "begin": ["", '(at: "q")', "(at: 12)", "(at: $id)"],
    "amend": ["", '(at: "q")', "(at: $id)"],
}
_VARIABLES = (
    '($n: Int, $n2: Int! = 2, $s: String = "dflt", $c: Colour! = GREEN, $id: ID! = "v", '
    "$on: Boolean! = true, $off: Boolean!)"
)
_CONDITIONS = [" @include(if: $on)", " @skip(if: $off)", " @include(if: $off)", " @skip(if: false)"]


class Writer:
    """Writes one operation."""

    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._schema = schema
        self._random = random
        self._keys = 0
        self._left = 60
        self._fragments: list[str] = []

    def operation(self, kind: OperationType = OperationType.QUERY) -> str:
        """Its text, fragments included."""
        root = self._schema.get_root_type(kind)
        assert root is not None
        body = self._selections(root, 5)
        return "\n".join([f"{kind.value} Random{_VARIABLES} {body}", *self._fragments])

    def _selections(self, type_: GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType, depth: int) -> str:
        chosen: list[str] = []
        if not isinstance(type_, GraphQLUnionType):
            names = [n for n, f in type_.fields.items() if depth > 1 or is_leaf_type(get_named_type(f.type))]
            for name in self._random.sample(names, min(len(names), self._random.randint(1, 5))):
                self._left -= 1
                if self._left > 0:
                    chosen.append(self._field(name, type_.fields[name], depth))
        if self._random.random() < 0.2 or not chosen:
            chosen.append(f"{self._alias('__typename')}__typename")
        if not isinstance(type_, GraphQLObjectType):
            for possible in self._schema.get_possible_types(type_):
                if self._random.random() < 0.7:
                    inner = self._selections(possible, depth)
                    chosen.append(f"... on {possible.name}{self._condition()} {inner}")
        elif self._random.random() < 0.25 and depth > 1:
            inner = self._selections(type_, depth - 1)
            if self._random.random() < 0.5:
                name = f"F{len(self._fragments)}"
                self._fragments.append(f"fragment {name} on {type_.name} {inner}")
                chosen.append(f"...{name}{self._condition()}")
            else:
                chosen.append(f"...{self._condition()} {inner}")
        return "{ " + " ".join(chosen) + " }"

    def _field(self, name: str, field: GraphQLField, depth: int) -> str:
        arguments = self._random.choice(_ARGUMENTS.get(name, [""]))
        named = get_named_type(field.type)
        below = "" if is_leaf_type(named) else " " + self._selections(named, depth - 1)  # type: ignore[arg-type]
        return f"{self._alias(name)}{name}{arguments}{self._condition()}{below}"

    def _alias(self, name: str) -> str:
        """An alias of its own, most of the time: what has the same key has to be the same."""
        if name == "__typename" or self._random.random() < 0.3:
            return ""
        self._keys += 1
        return f"k{self._keys}: "

    def _condition(self) -> str:
        if self._random.random() < 0.85:
            return ""
        return self._random.choice(
            [" @include(if: $on)", " @skip(if: $off)", " @include(if: $off)", " @skip(if: false)"]
        )
