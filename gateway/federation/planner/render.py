"""Selection sets as text, and the aliases that keep them valid where subgraph types differ."""

import re
from collections import defaultdict
from collections.abc import Iterable

from gateway.federation.planner.drafts import Draft, DraftField
from gateway.federation.planner.operation import ALWAYS, Condition
from gateway.federation.planner.plan import Lines, Rename

_NOTHING = "_t: __typename"
_TYPE_MARKS = str.maketrans({"!": "_", "[": "L", "]": ""})


def drop_redundant(draft: Draft) -> None:
    """Leave out conditional leaves that are asked for anyway."""
    for key, condition in list(draft.fields):
        field = draft.fields[key, condition]
        if condition and field.below is None and (key, ALWAYS) in draft.fields:
            draft.fields[key, ALWAYS].visible |= field.visible
            del draft.fields[key, condition]
        elif field.below:
            drop_redundant(field.below)
    for cast in draft.casts.values():
        drop_redundant(cast)


def alias_conflicts(drafts: Iterable[Draft]) -> None:
    """Give an alias to fields that share a key but not a type.

    One key may not have different types even for objects of different types (SameResponseShape in
    https://spec.graphql.org/October2021/#sec-Field-Selection-Merging). Types differ between subgraphs, so the
    client's valid operation can turn invalid. The alias is made from the key and the type, so that distant
    branches agree on it.
    """
    groups: dict[str, dict[str, list[DraftField]]] = defaultdict(lambda: defaultdict(list))
    for draft in drafts:
        for field in _fields(draft):
            groups[field.key][_shape(field)].append(field)
    for key, shapes in groups.items():
        for index, (shape, fields) in enumerate(shapes.items()):
            if index:
                for field in fields:
                    field.alias = f"_c_{key}_{shape.translate(_TYPE_MARKS)}"
            below = [field.below for field in fields if field.below]
            if below:
                alias_conflicts(below)


def _fields(draft: Draft) -> Iterable[DraftField]:
    yield from draft.fields.values()
    for cast in draft.casts.values():
        yield from _fields(cast)


def _shape(field: DraftField) -> str:
    return re.sub(r"\w+", "o", field.type) if field.below else field.type


def renames(draft: Draft, path: tuple[str, ...] = ()) -> tuple[Rename, ...]:
    """What must be renamed in the answer, outermost first."""
    found: dict[Rename, None] = {}
    for field in _fields(draft):
        if field.alias:
            found[Rename(path, field.alias, field.key)] = None
    for field in _fields(draft):
        if field.below:
            found.update(dict.fromkeys(renames(field.below, (*path, field.key))))
    return tuple(found)


def internal_keys(draft: Draft) -> dict[str, str]:
    """Keys of the planner's own and the schema names they stand for."""
    found = {}
    for field in _fields(draft):
        if field.alias or field.key.startswith("_h"):
            found[field.alias or field.key] = field.name
        if field.below:
            found.update(internal_keys(field.below))
    return found


def variables_of(draft: Draft) -> set[str]:
    """Variables the selection uses, conditions included."""
    found: set[str] = set()
    for field in _fields(draft):
        found |= field.variables
        found |= {name for name, _ in field.condition}
        if field.below:
            found |= variables_of(field.below)
    return found


def render(draft: Draft) -> Lines:
    """The selection set. It is never empty, not even when none of its conditions holds.

    What stands in for nothing has a key of its own: an interface object would give the interface as the type.
    """
    lines: list[str | Lines] = []
    unconditional = any(condition == ALWAYS for _, condition in draft.fields)
    if draft.typename:
        lines.append("__typename")
    elif not unconditional and all(cast.empty for cast in draft.casts.values()):
        lines.append(_NOTHING)
    for (_, condition), field in draft.fields.items():
        lines += _conditional(field, condition)
    for type_name, cast in draft.casts.items():
        if not cast.empty:
            lines += [f"... on {type_name}", render(cast)]
    return tuple(lines)


def _conditional(field: DraftField, condition: Condition) -> Lines:
    """A field under its condition. @include and @skip cannot be repeated, so further ones go on fragments."""
    alias = field.alias or field.key
    text = field.name if alias == field.name else f"{alias}: {field.name}"
    text += field.arguments
    included = [name for name, wanted in sorted(condition) if wanted]
    skipped = [name for name, wanted in sorted(condition) if not wanted]
    if included:
        text += f" @include(if: ${included[0]})"
    if skipped:
        text += f" @skip(if: ${skipped[0]})"
    lines: Lines = (text,) if field.below is None else (text, render(field.below))
    for name in included[1:]:
        lines = (f"... @include(if: ${name})", lines)
    for name in skipped[1:]:
        lines = (f"... @skip(if: ${name})", lines)
    return lines


def compact(lines: Lines) -> str:
    """The selection set on one line, as it is sent."""
    return "{ " + " ".join(line if isinstance(line, str) else compact(line) for line in lines) + " }"


def unordered(lines: Lines) -> frozenset[tuple[str, object]]:
    """Equal for selection sets that differ only in their order."""
    below = (*lines[1:], "")
    return frozenset(
        (line, None if isinstance(following, str) else unordered(following))
        for line, following in zip(lines, below, strict=True)
        if isinstance(line, str)
    )
