"""Bounds on what one document may ask for, checked on its tokens: before the parse, which takes most of the time.

Fragments count as often as they are spread, as planning and execution meet them. Each is measured once and its sums
are used wherever it is spread, so time grows with the text, whatever the text expands to. Nothing here recurses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from graphql import Source, get_location

from gateway.http.errors import LimitExceeded
from gateway.http.tokens import Tokens

_INTROSPECTION = ("__schema", "__type")

# Sums stop here: 5,000 tokens can stand for a number of hundreds of digits.
_CEILING = 10**12


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What each operation of a document may have at most. None turns a limit off.

    Attributes:
        max_depth: fields inside one another; `{ a { b } }` is 2 deep.
        max_aliases: aliased fields.
        max_directives: on the operation, its variables, its selections and its fragments.
        max_root_fields: fields of the operation's own type.
        max_selections: fields, fragment spreads and inline fragments.
    """

    max_depth: int | None = 15
    max_aliases: int | None = 30
    max_directives: int | None = 50
    max_root_fields: int | None = 20
    max_selections: int | None = 10_000


class DocumentLimitCheck:
    """Refuses documents over their limits; a `gateway.http.LimitCheck`.

    Every operation and fragment is held to the limits, whichever operation is asked for: the verdict is that of the
    document and is remembered with it. A fragment never has more than what spreads it, so only unused ones are
    refused for their own sake.

    Circular, unknown and repeated fragments are left to validation. A fragment spread inside itself counts there as
    one selection with nothing in it; fragments of one name count together.

    Args:
        limits: what is allowed.
        introspection: True leaves what is inside `__schema`, `__type` and fragments on introspection types out of
            the depth; all else counts. Tools ask for types of types deeply (GraphiQL reaches the default exactly),
            which costs little: what does cost there is lists inside lists, and the validation rule
            MaxIntrospectionDepth bounds these. Where introspection is off nothing is left out.
    """

    def __init__(self, limits: DocumentLimits | None = None, *, introspection: bool = False) -> None:
        limits = limits or DocumentLimits()
        self._introspection = introspection
        self._bounds = (  # in the order of _Size
            ("max_depth", limits.max_depth, "levels of nested fields"),
            ("max_aliases", limits.max_aliases, "aliases"),
            ("max_directives", limits.max_directives, "directives"),
            ("max_root_fields", limits.max_root_fields, "root fields"),
            ("max_selections", limits.max_selections, "selections"),
        )

    def __call__(self, tokens: Tokens) -> None:
        """Return for a document within the limits.

        Raises:
            LimitExceeded: with an entry for each limit that is exceeded, placed at what exceeds it most.
        """
        sizes = list(_sizes(tokens, introspection=self._introspection))
        errors = []
        for index, (limit, allowed, what) in enumerate(self._bounds):
            if allowed is None or not sizes:
                continue
            found, most = max(((size[index], position) for position, (size, _) in enumerate(sizes)), key=itemgetter(0))
            if found > allowed:
                errors.append(
                    _entry(limit, allowed, what, found=found, at=tokens.offset(sizes[most][1]), text=tokens.text)
                )
        if errors:
            raise LimitExceeded(errors=errors)


def _entry(limit: str, allowed: int, what: str, *, found: int, at: int, text: str) -> Mapping[str, Any]:
    shown = f"{found:,}" if found < _CEILING else f"more than {_CEILING - 1:,}"
    place = get_location(Source(text), at)
    return {
        "message": f"The document has {shown} {what}; {limit} allows {allowed:,}.",
        "locations": [{"line": place.line, "column": place.column}],
        "extensions": {"limit": limit},
    }


class _Size(NamedTuple):
    """What an operation has, or what a fragment adds each time it is spread."""

    depth: int
    aliases: int
    directives: int
    root_fields: int
    selections: int


_NOTHING = _Size(0, 0, 0, 0, 0)


class _Spread(NamedTuple):
    name: str
    level: int | None
    """Fields around it; None where depth does not count."""


@dataclass(slots=True)
class _Own:
    """What stands in a definition itself, and what it spreads.

    Attributes:
        begins: the index of its first token.
        fragment: its name; None for an operation.
    """

    begins: int
    fragment: str | None = None
    depth: int = 0
    aliases: int = 0
    directives: int = 0
    root_fields: int = 0
    selections: int = 0
    spreads: list[_Spread] = field(default_factory=list)

    def join(self, other: "_Own") -> None:
        """Count another of the same name with it."""
        self.depth = max(self.depth, other.depth)
        self.aliases += other.aliases
        self.directives += other.directives
        self.root_fields += other.root_fields
        self.selections += other.selections
        self.spreads += other.spreads

    def total(self, fragments: Mapping[str, _Size]) -> _Size:
        """This with what it spreads, as often as it does; a fragment that is not there adds nothing."""
        depth, root_fields = self.depth, self.root_fields
        aliases, directives, selections = self.aliases, self.directives, self.selections
        for name, level in self.spreads:
            spread = fragments.get(name, _NOTHING)
            if level is not None:
                depth = max(depth, level + spread.depth)
            if level == 0:
                root_fields += spread.root_fields
            aliases += spread.aliases
            directives += spread.directives
            selections += spread.selections
        return _Size(
            depth,
            min(aliases, _CEILING),
            min(directives, _CEILING),
            min(root_fields, _CEILING),
            min(selections, _CEILING),
        )


def _definitions(tokens: Tokens, *, introspection: bool) -> Iterator[_Own]:
    """The definitions of a document, each counted by its own tokens.

    A text that is no document is counted as if it were one, as far as it goes: the parser will refuse it. So are
    definitions of types, which validation refuses.
    """
    words = tokens[:]
    words += ("", "", "")  # so that there is something to look ahead at
    index, end = 0, len(tokens)
    while index < end:
        own, index, hidden = _header(words, index, end, introspection=introspection)
        index = _body(own, words, index, end, hidden=hidden, introspection=introspection)
        yield own


def _header(words: list[str], index: int, end: int, *, introspection: bool) -> tuple[_Own, int, bool]:
    """A definition up to its first brace, the index of that, and whether the depth below does not count."""
    own, hidden, parens = _Own(index), False, 0
    while index < end and (parens or words[index] != "{"):
        word = words[index]
        if word == "@":
            own.directives += 1
            index += 1
        elif word == "(":
            parens += 1
        elif word == ")":
            parens -= parens > 0
        elif word == "fragment" and words[index + 2] == "on" and not parens:
            own.begins, own.fragment = index, words[index + 1]
            hidden = introspection and words[index + 3].startswith("__")
            index += 3
        index += 1
    return own, index, hidden


def _body(own: _Own, words: list[str], index: int, end: int, *, hidden: bool, introspection: bool) -> int:  # noqa: PLR0912  # one for each kind of token
    """Count the selections from the brace at `index` to the one that closes it; gives the index after that."""
    selections = aliases = directives = root_fields = depth = 0
    around: list[int | None] = []  # fields around the selections of each open brace; None where depth does not count
    level: int | None = None if hidden else 0
    below = level  # of what the next brace opens
    while index < end:
        word = words[index]
        index += 1
        if word == "{":
            around.append(level)
            level = below
        elif word == "}":
            if around:
                level = around.pop()
            if not around:
                break
        elif word == "(":
            index = _after_arguments(words, index, end)
        elif word == "@":
            directives += 1
            index += 1
        elif word == "...":
            selections += 1
            below = level
            word = words[index]
            if word == "on":
                index += 2
            elif word.isidentifier():
                own.spreads.append(_Spread(word, level))
                index += 1
        elif word.isidentifier():
            selections += 1
            if words[index] == ":":
                aliases += 1
                word = words[index + 1]
                index += 2
            below = None if level is None or (introspection and word in _INTROSPECTION) else level + 1
            if level is not None:
                root_fields += level == 0
                depth = max(depth, level + 1)
    own.selections, own.aliases, own.root_fields, own.depth = selections, aliases, root_fields, depth
    own.directives += directives
    return index


def _after_arguments(words: list[str], index: int, end: int) -> int:
    """The index after the parenthesis that closes; in arguments nothing is counted, and values have none."""
    try:
        return words.index(")", index, end) + 1
    except ValueError:
        return end


def _sizes(tokens: Tokens, *, introspection: bool) -> Iterator[tuple[_Size, int]]:
    """The size of each operation, then of each fragment by itself; each with the index of its first token."""
    fragments: dict[str, _Own] = {}
    operations: list[_Own] = []
    for own in _definitions(tokens, introspection=introspection):
        if own.fragment is None:
            operations.append(own)
        elif (known := fragments.setdefault(own.fragment, own)) is not own:
            known.join(own)
    totals = _totals(fragments)
    for own in operations:
        yield own.total(totals), own.begins
    for name, size in totals.items():
        yield size._replace(root_fields=0), fragments[name].begins  # it may be spread where there is no root


def _totals(fragments: Mapping[str, _Own]) -> dict[str, _Size]:
    """The size of each fragment: what it spreads is summed first, and each is summed once."""
    totals: dict[str, _Size] = {}
    opened: set[str] = set()
    for first in fragments:
        pending = [first]
        while pending:
            name = pending[-1]
            if name in totals:
                pending.pop()
            elif name in opened:
                totals[pending.pop()] = fragments[name].total(totals)
            else:
                opened.add(name)
                # One that is open and has no sum is around this one: a circle, which is not gone round.
                pending += [s.name for s in fragments[name].spreads if s.name in fragments and s.name not in opened]
    return totals
