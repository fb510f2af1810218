"""What a query plan asks of a subgraph: a document as it stands, and its answer unread but for where the rows are.

Answers are kept and handed on as JSON text: whoever reads one gets objects of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import FieldNode, InlineFragmentNode, OperationDefinitionNode, parse, print_ast
from msgspec.structs import replace

from clients.call import Call, Problem
from clients.operation import Batch, GraphQLDocument, Kind, Operation

PossibleTypes = Callable[[str], frozenset[str]]
"""The object types that a type condition holds for; an object type's is itself alone."""

_encode = msgspec.json.Encoder(order="sorted").encode


def _itself(type_name: str) -> frozenset[str]:
    return frozenset({type_name})


@dataclass(frozen=True, slots=True)
class EntityBatch(Batch):
    """Entities by representation (Apollo Federation, Subgraph specification, `_entities`); a row each, in their order.

    A key is a pair: which of `slots` asks for it, and the representation.

    Attributes:
        slots: for each `_entities` field of the document, its response key and the variable of its representations.
    """

    slots: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The variables that take representations."""
        return frozenset(variable for _, variable in self.slots)

    def variables(self, keys: Sequence[Any]) -> dict[str, list[Any]]:
        """The representations of each slot, in the order of the keys."""
        found: dict[str, list[Any]] = {variable: [] for _, variable in self.slots}
        for slot, representation in keys:
            found[self.slots[slot][1]].append(representation)
        return found

    def normal(self, key: Any) -> Any:
        """A key, comparable: representations are equal when their JSON is."""
        slot, representation = key
        return [slot, _encode(representation).decode()]

    def normals(self, keys: Sequence[Any]) -> list[Any]:
        """Each key as `normal` gives it."""
        return [self.normal(key) for key in keys]


class Shape:
    """The classes that an answer to a planned request is decoded into.

    Attributes:
        data: the class of `data`.
        decode: of the JSON text of `data`.
        operation: the operation whose answers are of this shape, once somebody has made it.
    """

    __slots__ = ("_envelope", "data", "decode", "operation")

    def __init__(self, data: type[msgspec.Struct]) -> None:
        self.data = data
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(data).decode
        envelope = msgspec.defstruct("Envelope", [("data", data | None, None), ("errors", Any, None)])
        self._envelope = msgspec.json.Decoder(envelope).decode
        self.operation: SubgraphOperation | None = None

    def decode_answer(self, body: bytes) -> Any:
        """`data` of a response; None when it has errors, no data, or is anything else than it should be."""
        try:
            envelope: Any = self._envelope(body)
        except msgspec.DecodeError:
            return None
        return None if envelope.errors else envelope.data


class ShapedReply:
    """The whole answer to a planned request, for whoever shares it: each reader gets objects of its own.

    Attributes:
        text: JSON text of the response.
    """

    __slots__ = ("_first", "_shape", "text")

    def __init__(self, shape: Shape, text: bytes, first: Any) -> None:
        self.text = text
        self._shape = shape
        self._first = first

    def take(self) -> Any:
        """`data`, decoded; not the objects that anybody else got."""
        first, self._first = self._first, None
        return self._shape.decode_answer(self.text) if first is None else first


@dataclass(frozen=True, slots=True, eq=False)
class SubgraphOperation(Operation):
    """A planned request. A row is JSON text: an entity's, or all of `data`.

    Attributes:
        possible_types: the object types that a type condition of the document holds for.
        shape: given, a good answer is decoded into it, undivided (`ShapedReply`); for services without a cache.
        about: what it asks for: root fields (`Query.orders`) or entity types, joined by +. Plans come and go, and this
            stays the same.
    """

    possible_types: PossibleTypes = _itself
    shape: Shape | None = None
    about: str = ""

    @property
    def circuit_name(self) -> str:
        """What it asks for: requests of different plans for the same share a circuit."""
        return self.about or self.name

    @property
    def representations(self) -> Sequence[str]:
        """The variables that take representations, whether or not the rows are told apart."""
        variables = {} if self.graphql is None else self.graphql.variables
        return [name for name, definition in variables.items() if print_ast(definition.type) == "[_Any!]!"]


def subgraph_operation(
    service: str,
    name: str,
    document: str,
    kind: Kind,
    slots: Sequence[tuple[str, str]] = (),
    *,
    possible_types: PossibleTypes | None = None,
    shape: Shape | None = None,
) -> SubgraphOperation:
    """The operation of a plan's request.

    Args:
        service: the service's name.
        name: for logs.
        document: valid for the subgraph.
        kind: a mutation is sent once.
        slots: see `EntityBatch`; none for root fields.
        possible_types: of the supergraph; by default a type condition holds for the type of its name alone.
        shape: see `SubgraphOperation`.
    """
    (definition,) = (d for d in parse(document).definitions if isinstance(d, OperationDefinitionNode))
    variables = {d.variable.name.value: d for d in definition.variable_definitions or ()}
    text = GraphQLDocument(document, definition.name.value if definition.name else None, kind, (), variables)
    batch = EntityBatch("", (), slots=tuple(slots)) if slots else None
    return SubgraphOperation(
        service=service,
        name=name,
        row=bytes,
        graphql=text,
        rest=None,
        kind=kind,
        many=batch is not None,
        batch=batch,
        possible_types=possible_types or _itself,
        shape=shape,
        about="+".join(sorted(set(_about(definition)))),
    )


def _about(definition: OperationDefinitionNode) -> Iterator[str]:
    """The types of entities and the root fields that an operation selects, as `routes` of gateway.yaml names them."""
    root = definition.operation.value.capitalize()
    for field in definition.selection_set.selections:
        if not isinstance(field, FieldNode):
            continue
        below = field.selection_set.selections if field.selection_set else ()
        types = [
            node.type_condition.name.value
            for node in below
            if isinstance(node, InlineFragmentNode) and node.type_condition
        ]
        if field.name.value == "_entities" and types:
            yield from types
        else:
            yield f"{root}.{field.name.value}"


@dataclass(frozen=True, slots=True)
class SubgraphAnswer:
    """A subgraph's answer.

    Attributes:
        value: JSON text of `data`; for entities, one text a key, None for null.
        problems: its errors; an entity's has the key's index and the path below it.
        has_data: whether `data` was an object.
    """

    value: Any
    problems: tuple[Problem, ...]
    has_data: bool


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")
    errors: list[Any] | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_entity_lists = msgspec.json.Decoder(dict[str, list[msgspec.Raw] | None])  # each list is read, its entities are not
_NULL = b"null"


def read_subgraph_answer(
    call: Call, body: bytes, told: Callable[[list[Problem]], list[Problem]] = lambda problems: problems
) -> SubgraphAnswer:
    """Read an answer as far as it has to be.

    Args:
        call: that is answered.
        body: of the response.
        told: the errors it reports as they may be told.

    Raises:
        msgspec.ValidationError: not a GraphQL response, or not one entity for each representation. Errors that are
            not as the specification has them are no reason: what they go with may be good.
        msgspec.DecodeError: not JSON.
    """
    envelope = _envelope.decode(body)
    errors = told([_error(each) for each in envelope.errors]) if envelope.errors else []
    has_data = bytes(envelope.data) != _NULL
    if has_data and not bytes(envelope.data).startswith(b"{"):
        raise msgspec.ValidationError("expected an object - at `$.data`")
    if not has_data and not errors:
        raise msgspec.ValidationError("neither data nor errors")
    batch = call.operation.batch
    if not isinstance(batch, EntityBatch) or call.keys is None:
        return SubgraphAnswer(bytes(envelope.data), tuple(errors), has_data)
    lists = _entity_lists.decode(envelope.data) if has_data else {}
    slots, entities = _entities(batch, call.keys, lists, failed=bool(errors))
    return SubgraphAnswer(entities, tuple(_of_entity(e, slots) for e in errors), has_data)


def _entities(
    batch: EntityBatch, keys: Sequence[Any], lists: dict[str, list[msgspec.Raw] | None], *, failed: bool
) -> tuple[dict[str, range], list[bytes | None]]:
    """By response key, the indices of its keys; and one entity a key. Keys come slot by slot."""
    slots: dict[str, range] = {}
    value: list[bytes | None] = []
    for slot, (response_key, _) in enumerate(batch.slots):
        wanted = sum(1 for of, _ in keys if of == slot)
        found = lists.get(response_key)
        slots[response_key] = range(len(value), len(value) + wanted)
        if found is None and (failed or not wanted):
            value += [None] * wanted
            continue
        if found is None or len(found) != wanted:
            got = "no list of" if found is None else str(len(found))
            raise msgspec.ValidationError(f"{got} entities for {wanted} representations - at `$.data.{response_key}`")
        value += [None if bytes(entity) == _NULL else bytes(entity) for entity in found]
    return slots, value


def _error(entry: Any) -> Problem:
    """An entry of `errors`, as far as it is what the specification asks for."""
    known = entry if isinstance(entry, dict) else {}
    message, path, extensions = known.get("message"), known.get("path"), known.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else None
    code = (extensions or {}).get("code")
    return Problem(
        message if isinstance(message, str) else "(no message)",
        code if isinstance(code, str) else None,
        path=tuple(each for each in path if isinstance(each, str | int)) if isinstance(path, list) else (),
        extensions=extensions,
    )


def _of_entity(problem: Problem, slots: Mapping[str, range]) -> Problem:
    """The problem with the index of its key and the path below it; without both when it belongs to no key."""
    path = problem.path
    keys = slots.get(str(path[0]), range(0)) if path else range(0)
    if len(path) > 1 and isinstance(path[1], int) and 0 <= path[1] < len(keys):
        return replace(problem, index=keys[path[1]], path=path[2:])
    return replace(problem, path=())
