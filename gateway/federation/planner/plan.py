"""The plan of one operation: frozen data that the executor runs and people can read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from gateway.federation.planner.operation import Condition, Operation, Selection

PathSegment = str | frozenset[str]
"""A key, or the object types an object must have to be meant. Lists are walked through unmentioned."""

FetchPath = tuple[PathSegment, ...]

AnyOf = tuple[Condition, ...]
"""Wanted when one of these conditions holds; empty means never, ``(frozenset(),)`` always."""

Lines = tuple["str | Lines", ...]
"""A selection set: text of leaves and openings, each opening followed by what it contains."""


class RequestKind(Enum):
    """What a request asks for."""

    ROOT = "root"
    ENTITIES = "entities"
    REENTRY = "reentry"
    """Root fields of a subgraph for a field that returns the query root somewhere inside the response."""


@dataclass(frozen=True, slots=True)
class InputField:
    """One field of a representation.

    Attributes:
        name: in the representation.
        key: in the response being put together.
        types: runtime types it applies to, None for all.
        typename: whether objects below carry their runtime type.
        fields: those below, None for leaves.
    """

    name: str
    key: str
    types: frozenset[str] | None
    typename: bool
    fields: "tuple[InputField, ...] | None"


@dataclass(frozen=True, slots=True)
class Rename:
    """Below ``path``, what was sent as ``alias`` belongs under ``key``."""

    path: tuple[str, ...]
    alias: str
    key: str


@dataclass(frozen=True, slots=True)
class Target:
    """Objects of the response that an entity fetch completes.

    Attributes:
        path: where they are.
        key: what must not be null for an object to be asked for.
        inputs: the whole representation, key included.
        wanted: conditions under which it is wanted at all.
    """

    path: FetchPath
    key: tuple[InputField, ...]
    inputs: tuple[InputField, ...]
    wanted: AnyOf


@dataclass(frozen=True, slots=True)
class Entities:
    """One ``_entities`` field of a request.

    Attributes:
        response_key: ``_entities`` or an alias of it.
        variable: that holds the representations.
        type_name: ``__typename`` of every representation.
        targets: places whose objects are asked for, all by one de-duplicated list.
        renames: in each entity.
        lines: the selection, for printing.
    """

    response_key: str
    variable: str
    type_name: str
    targets: tuple[Target, ...]
    renames: tuple[Rename, ...]
    lines: Lines


@dataclass(frozen=True, slots=True)
class Request:
    """One request to one subgraph.

    Attributes:
        id: its number in the plan, from 1.
        needs: ids of requests that must have been answered before.
        graph: the subgraph's id in the supergraph, ``subgraph`` its name.
        mutation: whether it must not be repeated.
        document: to be sent.
        variables: client's variables the document uses.
        path: where the answer belongs, for root fetches and re-entries.
        entities: for ENTITIES.
        lines: the selection of the other kinds, for printing.
        internal_keys: keys of the planner's own, with the schema name they stand for.
    """

    id: int
    needs: frozenset[int]
    kind: RequestKind
    graph: str
    subgraph: str
    mutation: bool
    document: str
    operation_name: str | None
    variables: tuple[str, ...]
    wanted: AnyOf
    path: FetchPath
    entities: tuple[Entities, ...]
    renames: tuple[Rename, ...]
    lines: Lines
    internal_keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """How an operation is answered.

    Attributes:
        operation: in normal form, from which the response is projected.
        groups: requests; each group starts when the one before has ended. Queries have one group at most,
            mutations one for each top-level field or run of fields that share a request.
    """

    operation: Operation
    groups: tuple[tuple[Request, ...], ...]

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests, in order."""
        return tuple(request for group in self.groups for request in group)

    @property
    def introspection(self) -> tuple[Selection, ...]:
        """Root fields that ask for the schema itself."""
        return tuple(each for each in self.operation.selections if each.introspection)

    def __str__(self) -> str:
        """The plan for people: one paragraph a request."""
        lines: list[str] = []
        for number, group in enumerate(self.groups):
            if number:
                lines.append("then")
            for request in group:
                lines += _describe(request)
        return "\n".join(lines)


def _describe(request: Request) -> list[str]:
    after = ", ".join(map(str, sorted(request.needs)))
    kind = "mutation " if request.mutation else ""
    where = f" at {print_path(request.path)}" if request.path else ""
    head = f"{request.id} {kind}{request.subgraph}{where}{f' after {after}' if after else ''}"
    lines = [head + _conditions(request.wanted if not request.entities else ())]
    for entities in request.entities:
        for target in entities.targets:
            inputs = " ".join(map(print_input, target.inputs))
            lines.append(f"  {print_path(target.path)}: {entities.type_name}({inputs}){_conditions(target.wanted)}")
        lines += _indented(entities.lines, 2)
    return lines + _indented(request.lines, 1)


def _indented(lines: Lines, depth: int) -> list[str]:
    """Leaves that stand side by side share a line."""
    printed: list[str] = []
    leaves: list[str] = []
    for index, line in enumerate(lines):
        if not isinstance(line, str):
            printed += _indented(line, depth + 1)
            printed.append("  " * depth + "}")
        elif index + 1 < len(lines) and not isinstance(lines[index + 1], str):
            if leaves:
                printed.append("  " * depth + " ".join(leaves))
                leaves = []
            printed.append("  " * depth + line + " {")
        else:
            leaves.append(line)
    if leaves:
        printed.append("  " * depth + " ".join(leaves))
    return printed


def _conditions(wanted: AnyOf) -> str:
    if not wanted or frozenset() in wanted:
        return ""
    return " if " + " or ".join(
        " and ".join(f"${name}" if value else f"not ${name}" for name, value in sorted(condition))
        for condition in wanted
    )


def print_path(path: Iterable[PathSegment]) -> str:
    """A path such as ``feed.author[Admin|User]``."""
    text = ""
    for segment in path:
        if isinstance(segment, str):
            text += f".{segment}" if text else segment
        else:
            text += f"[{'|'.join(sorted(segment))}]"
    return text


def print_input(field: InputField) -> str:
    """A field of a representation, with the key it is read from when that differs."""
    text = field.name if field.key == field.name else f"{field.name}={field.key}"
    if field.fields is not None:
        text += f" {{ {' '.join(map(print_input, field.fields))} }}"
    return text if field.types is None else f"... on {'|'.join(sorted(field.types))} {{ {text} }}"
