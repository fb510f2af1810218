"""Passes over the fetches of one operation: fewer requests, the same answers. Requests dominate the cost."""

from collections import defaultdict

from gateway.federation.errors import PlanningError
from gateway.federation.planner.drafts import DraftFetch, compatible
from gateway.federation.planner.operation import ALWAYS
from gateway.federation.supergraph.field_sets import merge_field_sets


def merge_twins(fetches: list[DraftFetch]) -> list[DraftFetch]:
    """Join fetches of the same objects of the same subgraph that wait for the same."""
    kept: list[DraftFetch] = []
    changed = True
    while changed:
        changed = False
        kept = []
        by_identity: dict[object, list[DraftFetch]] = defaultdict(list)
        for fetch in fetches:
            twin = next((other for other in by_identity[fetch.identity] if _twins(other, fetch)), None)
            if twin:
                _join(twin, fetch, fetches)
                changed = True
            else:
                by_identity[fetch.identity].append(fetch)
                kept.append(fetch)
        fetches = kept
    return fetches


def _twins(left: DraftFetch, right: DraftFetch) -> bool:
    if not left.path and not left.entity:
        return True
    return compatible(left.inputs, right.inputs) and left.before() == right.before()


def merge_late(fetches: list[DraftFetch], *, mutation: bool) -> list[DraftFetch]:
    """Fold a fetch that nothing waits for into a later one of the same objects and subgraph.

    Not when that is wanted on fewer occasions: what it waits for would then be fetched without need. For a mutation
    folding is more than thrift, and done in any case: the second request might find the object gone.
    """
    needed = {each for fetch in fetches for each in fetch.needs}
    same: dict[object, list[DraftFetch]] = defaultdict(list)
    for fetch in fetches:
        same[fetch.identity].append(fetch)
    gone: set[DraftFetch] = set()
    for fetch in fetches:
        others = same[fetch.identity]
        if not fetch.entity or fetch in needed or len(others) == 1:
            continue
        for other in others:
            if (
                other is not fetch
                and other not in gone
                and fetch.before() < other.before()
                and compatible(other.inputs, fetch.inputs)
                and (mutation or ALWAYS in other.seen_when or fetch.seen_when <= other.seen_when)
            ):
                _join(other, fetch, [])
                gone.add(fetch)
                break
    return [fetch for fetch in fetches if fetch not in gone]


def _join(into: DraftFetch, fetch: DraftFetch, fetches: list[DraftFetch]) -> None:
    into.draft.merge(fetch.draft)
    into.requires = merge_field_sets(into.requires + fetch.requires)
    into.needs |= fetch.needs - {into}
    for other in fetches:
        if fetch in other.needs:
            other.needs.discard(fetch)
            if other is not into:
                other.needs.add(into)


def in_levels(fetches: list[DraftFetch]) -> list[list[DraftFetch]]:
    """Sort fetches by how many requests must have been answered before.

    Then sink: a fetch with time to spare goes to the deepest level that calls its subgraph anyway and is
    still early enough for those that wait for it.

    Raises:
        PlanningError: fetches wait for each other in a circle.
    """
    earliest = _earliest(fetches)
    depth = max(earliest.values(), default=-1) + 1
    waiting: dict[DraftFetch, list[DraftFetch]] = defaultdict(list)
    for fetch in fetches:
        for needed in fetch.needs:
            waiting[needed].append(fetch)
    level: dict[DraftFetch, int] = {}
    calls: dict[tuple[int, str, bool], int] = defaultdict(int)
    for fetch in fetches:
        calls[earliest[fetch], fetch.graph, fetch.entity] += 1
    for fetch in sorted(fetches, key=lambda each: (-earliest[each], each.order)):
        latest = min((level[other] - 1 for other in waiting[fetch]), default=depth - 1)
        at = earliest[fetch]
        if fetch.entity:
            shared = (each for each in range(latest, at, -1) if calls[each, fetch.graph, True])
            target = next(shared, at)
            calls[at, fetch.graph, True] -= 1
            calls[target, fetch.graph, True] += 1
            at = target
        level[fetch] = at
    levels: list[list[DraftFetch]] = [[] for _ in range(depth)]
    for fetch in fetches:
        levels[level[fetch]].append(fetch)
    return [each for each in levels if each]


def _earliest(fetches: list[DraftFetch]) -> dict[DraftFetch, int]:
    level: dict[DraftFetch, int] = {}
    waiting = list(fetches)
    while waiting:
        ready = [fetch for fetch in waiting if all(needed in level for needed in fetch.needs)]
        if not ready:
            names = ", ".join(sorted({fetch.graph for fetch in waiting}))
            msg = f"The fetches to {names} wait for each other in a circle."
            raise PlanningError(msg)
        for fetch in ready:
            level[fetch] = 1 + max((level[needed] for needed in fetch.needs), default=-1)
        waiting = [fetch for fetch in waiting if fetch not in level]
    return level
