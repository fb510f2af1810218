"""From levels of fetches to the requests of a plan: batching, conditions, documents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import OperationType

from gateway.federation.planner.drafts import DraftFetch
from gateway.federation.planner.operation import ALWAYS, Operation
from gateway.federation.planner.plan import AnyOf, Entities, InputField, Lines, Rename, Request, RequestKind, Target
from gateway.federation.planner.render import (
    alias_conflicts,
    compact,
    drop_redundant,
    internal_keys,
    renames,
    render,
    unordered,
    variables_of,
)
from gateway.federation.planner.trie import Scope
from gateway.federation.supergraph.field_sets import FieldSet
from gateway.federation.supergraph.model import Model

_ALWAYS: AnyOf = (ALWAYS,)


def assemble(model: Model, operation: Operation, levels: list[list[DraftFetch]], first_id: int) -> tuple[Request, ...]:
    """The requests of one group, numbered from ``first_id``; entity fetches of one subgraph and level share one."""
    wanted = _wanted(levels)
    ids: dict[DraftFetch, int] = {}
    batches: list[list[DraftFetch]] = []
    for level in levels:
        by_graph: dict[object, list[DraftFetch]] = defaultdict(list)
        for fetch in level:
            by_graph[fetch.graph if fetch.entity else fetch].append(fetch)
        for batch in by_graph.values():
            ids.update(dict.fromkeys(batch, first_id + len(batches)))
            batches.append(batch)
    needs = {ids[batch[0]]: frozenset(ids[needed] for fetch in batch for needed in fetch.needs) for batch in batches}
    reduced = _reduce(needs)
    writer = _Writer(model, operation, wanted)
    return tuple(writer.request(batch, ids[batch[0]], reduced[ids[batch[0]]]) for batch in batches)


def _wanted(levels: list[list[DraftFetch]]) -> dict[DraftFetch, AnyOf]:
    """When each fetch is wanted: for something the client sees, or for a fetch that is wanted itself."""
    own: dict[DraftFetch, set[frozenset[tuple[str, bool]]]] = {}
    for fetch in (fetch for level in reversed(levels) for fetch in level):
        own[fetch] = own.get(fetch, set()) | fetch.seen_when
        own[fetch] = {each | fetch.condition for each in own[fetch] or {ALWAYS}}
        for needed in fetch.needs:
            own.setdefault(needed, set()).update(own[fetch])
    return {
        fetch: _ALWAYS
        if ALWAYS in conditions
        else tuple(sorted((each for each in conditions if not any(other < each for other in conditions)), key=sorted))
        for fetch, conditions in own.items()
    }


def _reduce(needs: Mapping[int, frozenset[int]]) -> dict[int, frozenset[int]]:
    """Without the needs that other needs bring along."""
    before: dict[int, frozenset[int]] = {}
    reduced: dict[int, frozenset[int]] = {}
    for request, direct in needs.items():
        implied = frozenset(each for needed in direct for each in before[needed])
        before[request] = direct | implied
        reduced[request] = direct - implied
    return reduced


@dataclass(slots=True)
class _EntityGroup:
    type_name: str
    lines: Lines
    renames: tuple[Rename, ...]
    targets: list[Target]


class _Writer:
    def __init__(self, model: Model, operation: Operation, wanted: Mapping[DraftFetch, AnyOf]) -> None:
        self.model = model
        self.operation = operation
        self.wanted = wanted

    def request(self, batch: list[DraftFetch], id_: int, needs: frozenset[int]) -> Request:
        first = batch[0]
        for fetch in batch:
            drop_redundant(fetch.draft)
            alias_conflicts([fetch.draft])
        variables = set().union(*(variables_of(fetch.draft) for fetch in batch))
        client = tuple(name for name in self.operation.variables if name in variables)
        entities = self._entities(batch) if first.entity else ()
        lines = () if first.entity else render(first.draft)
        mutation = not first.path and not first.entity and self.operation.kind is OperationType.MUTATION
        subgraph = self.model.subgraphs[first.graph].name
        name = self._name(subgraph, id_)
        kind = RequestKind.ENTITIES if first.entity else RequestKind.REENTRY if first.path else RequestKind.ROOT
        return Request(
            id=id_,
            needs=needs,
            kind=kind,
            graph=first.graph,
            subgraph=subgraph,
            mutation=mutation,
            document=self._document("mutation" if mutation else "query", name, client, entities, lines),
            operation_name=name,
            variables=client,
            wanted=_any(self.wanted[fetch] for fetch in batch),
            path=() if first.entity else first.path,
            entities=entities,
            renames=() if first.entity else renames(first.draft),
            lines=lines,
            internal_keys={key: name for fetch in batch for key, name in internal_keys(fetch.draft).items()},
        )

    def _entities(self, batch: list[DraftFetch]) -> tuple[Entities, ...]:
        groups: dict[object, _EntityGroup] = {}
        for fetch in batch:
            lines = render(fetch.draft)
            inputs = self._inputs(fetch.inputs, fetch.scope, fetch.type)
            group = groups.setdefault(
                (fetch.type, unordered(lines), fetch.inputs), _EntityGroup(fetch.type, lines, renames(fetch.draft), [])
            )
            key = self._inputs(fetch.key, fetch.scope, fetch.type)
            group.targets.append(Target(fetch.path, key, inputs, self.wanted[fetch]))
        alone = len(groups) == 1
        return tuple(
            Entities(
                "_entities" if alone else f"_e{index}",
                self._variable("representations" if alone else f"_r{index}"),
                group.type_name,
                tuple(group.targets),
                group.renames,
                group.lines,
            )
            for index, group in enumerate(groups.values())
        )

    def _variable(self, name: str) -> str:
        while name in self.operation.variables:
            name = f"_{name}"
        return name

    def _inputs(self, field_set: FieldSet, scope: Scope, type_name: str) -> tuple[InputField, ...]:
        found = []
        for selection in field_set:
            if selection.name == "__typename":
                continue
            key = scope.hidden_key(selection.name, selection.arguments)
            holder = type_name if selection.types is None else min(selection.types)
            declared = self.model.types[holder].fields.get(selection.name)
            below = declared.named_type if declared else type_name
            fields = self._inputs(selection.selections, scope.child(key), below) if selection.selections else None
            typename = below in self.model.types and self.model.types[below].abstract
            found.append(InputField(selection.name, key, selection.types, typename, fields))
        return tuple(found)

    def _name(self, subgraph: str, id_: int) -> str | None:
        """The client's name with the subgraph and the request's number, so that upstream logs can be joined."""
        if not self.operation.name:
            return None
        safe = "".join(char if char.isascii() and char.isalnum() else "_" for char in subgraph)
        return f"{self.operation.name}__{safe}__{id_}"

    def _document(
        self, kind: str, name: str | None, client: tuple[str, ...], entities: tuple[Entities, ...], lines: Lines
    ) -> str:
        definitions = [f"${each.variable}: [_Any!]!" for each in entities]
        definitions += [f"${variable}: {self.operation.variables[variable]}" for variable in client]
        body = compact(lines)
        if entities:
            parts = []
            for each in entities:
                alias = "" if each.response_key == "_entities" else f"{each.response_key}: "
                fragment = f"... on {each.type_name} {compact(each.lines)}"
                parts.append(f"{alias}_entities(representations: ${each.variable}) {{ {fragment} }}")
            body = "{ " + " ".join(parts) + " }"
        head = kind + (f" {name}" if name else "") + (f"({', '.join(definitions)})" if definitions else "")
        return f"{head} {body}"


def _any(alternatives: Iterable[AnyOf]) -> AnyOf:
    found: dict[frozenset[tuple[str, bool]], None] = {}
    for each in alternatives:
        found.update(dict.fromkeys(each))
    return _ALWAYS if ALWAYS in found else tuple(found)
