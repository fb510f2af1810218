"""Directives where they are applied: which survive into the supergraph, and how differing arguments become one.

Strategies follow the specifications on specs.apollo.dev: tags are united, access control is narrowed (a caller must
meet what every subgraph asks), costs take the greatest value.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

from graphql import parse_const_value

from gateway.access.requirement import both
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.model import Applied

# Built-in directives that describe the schema to clients.
_DESCRIBING = ("deprecated", "specifiedBy", "oneOf")
_CARRIED = ("inaccessible", "tag", "authenticated", "requiresScopes", "policy", "listSize", "cost")


def is_carried(applied: Applied, subgraph: str, context: MergeContext) -> bool:
    """Whether the directive, applied in this subgraph, appears in the supergraph."""
    if applied.is_known:
        return applied.name in (*_DESCRIBING, *_CARRIED)
    return applied.name in context.composed and subgraph in context.composed[applied.name].subgraphs


def merge_applied(
    coordinate: str, sources: Iterable[tuple[str, Iterable[Applied]]], context: MergeContext
) -> list[Applied]:
    """The directives of one element of the supergraph, from (subgraph name, applications) pairs."""
    groups: dict[tuple[str, bool], list[tuple[str, Applied]]] = {}
    for subgraph, applications in sources:
        for each in applications:
            if is_carried(each, subgraph, context):
                groups.setdefault((each.name, each.is_known), []).append((subgraph, each))
    merged: list[Applied] = []
    for (name, is_known), group in groups.items():
        distinct = list({each.text(): each for _, each in group}.values())
        is_repeatable = name == "tag" if is_known else context.composed[name].is_repeatable
        if is_repeatable or len(distinct) == 1:
            merged += distinct
            continue
        strategy = _STRATEGIES.get(name) if is_known else None
        if strategy is not None:
            merged.append(strategy(distinct))
            outcome = "their arguments are merged"
        else:
            counts = Counter(each.text() for _, each in group)
            kept = counts.most_common(1)[0][0]
            merged.append(next(each for each in distinct if each.text() == kept))
            outcome = f"@{kept} is kept"
        message = f'"{coordinate}" has @{name} with different arguments in different subgraphs: {outcome}'
        subgraphs = list(dict.fromkeys(subgraph for subgraph, _ in group))
        context.problems.hint(
            "MERGED_NON_REPEATABLE_DIRECTIVE_ARGUMENTS"
            if strategy
            else "INCONSISTENT_NON_REPEATABLE_DIRECTIVE_ARGUMENTS",
            message,
            subgraphs=subgraphs,
            coordinates=[coordinate],
        )
    return merged


def _with(applied: Applied, values: dict[str, Any]) -> Applied:
    args = {name: parse_const_value(json.dumps(value)) for name, value in values.items() if value is not None}
    return Applied(applied.name, args)


def _merge_sets(argument: str) -> Callable[[Sequence[Applied]], Applied]:
    def merge(distinct: Sequence[Applied]) -> Applied:
        required = reduce(both, (tuple(map(frozenset, each.value(argument))) for each in distinct))
        return _with(distinct[0], {argument: [sorted(each) for each in required]})

    return merge


def _merge_cost(distinct: Sequence[Applied]) -> Applied:
    return max(distinct, key=lambda each: int(each.value("weight")))


def _merge_list_size(distinct: Sequence[Applied]) -> Applied:
    sizes = [size for each in distinct if (size := each.value("assumedSize")) is not None]

    def union(name: str) -> list[str] | None:
        lists = [each.value(name) for each in distinct if each.value(name) is not None]
        return list(dict.fromkeys(entry for entries in lists for entry in entries)) if lists else None

    one_slice = all(each.value("requireOneSlicingArgument", True) for each in distinct)
    return _with(
        distinct[0],
        {
            "assumedSize": max(sizes) if sizes else None,
            "slicingArguments": union("slicingArguments"),
            "sizedFields": union("sizedFields"),
            "requireOneSlicingArgument": one_slice,
        },
    )


_STRATEGIES: dict[str, Callable[[Sequence[Applied]], Applied]] = {
    "requiresScopes": _merge_sets("scopes"),
    "policy": _merge_sets("policies"),
    "cost": _merge_cost,
    "listSize": _merge_list_size,
}
