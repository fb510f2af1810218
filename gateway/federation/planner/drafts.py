"""Fetches while they are being put together: mutable, owned by one planning run."""

from dataclasses import dataclass, field

from gateway.federation.planner.operation import ALWAYS, Condition
from gateway.federation.planner.plan import FetchPath
from gateway.federation.planner.trie import Scope
from gateway.federation.supergraph.field_sets import FieldSelection, FieldSet, merge_field_sets


@dataclass(slots=True, eq=False)
class DraftField:
    """One field of a selection set. ``type`` is its type in the subgraph, printed."""

    key: str
    name: str
    arguments: str
    type: str
    condition: Condition
    variables: frozenset[str]
    visible: bool
    below: "Draft | None"
    alias: str = ""
    """Sent instead of the key when the key's types differ between runtime types."""


@dataclass(slots=True, eq=False)
class Draft:
    """One selection set.

    Attributes:
        typename: the runtime type must be asked for.
        typename_wanted: conditions under which the client asked for it.
        fields: by key and condition, so that what stands under a condition stays under it.
        casts: selections for objects of one type.
    """

    typename: bool = False
    typename_wanted: set[Condition] = field(default_factory=set)
    fields: dict[tuple[str, Condition], DraftField] = field(default_factory=dict)
    casts: dict[str, "Draft"] = field(default_factory=dict)

    def merge(self, other: "Draft") -> None:
        """Add everything another draft selects."""
        self.typename |= other.typename
        self.typename_wanted |= other.typename_wanted
        for key, theirs in other.fields.items():
            ours = self.fields.setdefault(key, theirs)
            if ours is not theirs:
                ours.visible |= theirs.visible
                if ours.below and theirs.below:
                    ours.below.merge(theirs.below)
        for type_name, draft in other.casts.items():
            known = self.casts.setdefault(type_name, draft)
            if known is not draft:
                known.merge(draft)

    @property
    def empty(self) -> bool:
        """Whether nothing is selected."""
        return not self.fields and all(draft.empty for draft in self.casts.values())


@dataclass(slots=True, eq=False)
class DraftFetch:
    """One fetch.

    Attributes:
        order: of creation; plans are deterministic by it.
        path: where its objects are; empty for the fetches of the operation's root.
        type: ``__typename`` of the representations, or the root type.
        key: what identifies the objects; empty for root fetches.
        requires: what is sent beside the key.
        scope: of the objects at the path.
        condition: of the fields along the path, all together.
        needs: fetches that must have answered before.
    """

    order: int
    graph: str
    path: FetchPath
    type: str
    key: FieldSet
    scope: Scope
    condition: Condition = ALWAYS
    requires: FieldSet = ()
    draft: Draft = field(default_factory=Draft)
    needs: "set[DraftFetch]" = field(default_factory=set)

    @property
    def entity(self) -> bool:
        """Whether it asks for entities, not for root fields."""
        return bool(self.key)

    @property
    def inputs(self) -> FieldSet:
        """Key and requirements together."""
        return merge_field_sets(self.key + self.requires)

    @property
    def identity(self) -> tuple[str, FetchPath, Condition, str, FieldSet]:
        """Fetches with the same identity ask the same objects of the same subgraph on the same occasions."""
        return (self.graph, self.path, self.condition, self.type, self.key)

    @property
    def seen_when(self) -> set[Condition]:
        """Conditions under which the client sees something of it; empty when only other fetches need it."""
        drafts = (self.draft, *self.draft.casts.values())
        found = {each.condition for draft in drafts for each in draft.fields.values() if each.visible}
        return found.union(*(draft.typename_wanted for draft in drafts))

    def before(self) -> "set[DraftFetch]":
        """Every fetch that this one waits for, directly or not."""
        found: set[DraftFetch] = set()
        waiting = list(self.needs)
        while waiting:
            fetch = waiting.pop()
            if fetch not in found:
                found.add(fetch)
                waiting.extend(fetch.needs)
        return found


def compatible(left: FieldSet, right: FieldSet) -> bool:
    """Whether two field sets can be sent in one representation: no field twice with other arguments."""
    known: dict[tuple[str, frozenset[str] | None], FieldSelection] = {(each.name, each.types): each for each in left}
    for each in right:
        ours = known.get((each.name, each.types))
        if ours and (ours.arguments != each.arguments or not compatible(ours.selections, each.selections)):
            return False
    return True
