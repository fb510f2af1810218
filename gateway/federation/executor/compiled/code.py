"""Functions made as source text: walks over a response's objects, with nothing that this operation does not need.

Names in the text are attributes of the position classes (`f0`, `h1`) and numbered variables; nothing of a client's or
a subgraph's is ever part of it.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from graphql import GraphQLOutputType, is_list_type, is_non_null_type

from gateway.federation.executor.compiled.nested import builder, identifier
from gateway.federation.executor.compiled.positions import TYPENAME, Aim, Position, Slot, Source, places
from gateway.federation.planner.plan import FetchPath, InputField

_encode = msgspec.json.Encoder(enc_hook=repr).encode

Share = Callable[[Any], list[Any]]

_ENOUGH = 200
"""Objects that tell what the others are like. Looking for equal ones among 1,000 different ones takes 100 µs."""


class Rare(Exception):  # an event, not a failure
    """Something is not as the program expects it."""


@dataclass(slots=True, eq=False)
class _Function:
    """Lines of one function, and what they refer to by name."""

    lines: list[str]
    names: dict[str, Any] = field(default_factory=lambda: {"UNSET": msgspec.UNSET})

    def refer(self, prefix: str, value: Any) -> str:
        """A name for a value."""
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name

    def make(self, name: str) -> Callable[..., Any]:
        namespace = dict(self.names)
        exec("\n".join(self.lines), namespace)  # noqa: S102  # our own text, see above
        made: Callable[..., Any] = namespace[name]
        return made


def finder(root: Position, path: FetchPath) -> Callable[[Any], list[Any]]:
    """`find(root)`: the objects at a path."""
    function = _Function(["def find(root):", "    objects = []"])
    _, depth = _walk(root, path, function)
    function.lines += [f"{'    ' * depth}objects.append(o)", "    return objects"]
    return function.make("find")


def collector(
    root: Position, aim: Aim, names: Sequence[str], made: Any, *, exact: bool, share: Share | None
) -> Callable[..., bool]:
    """`collect(root, shared, seen, made, indices, objects)`: representations of the objects at a path.

    It adds each distinct representation once, each object with the index of its own, and gives False when an object
    cannot be asked for.

    Args:
        root: the operation's positions.
        aim: to the objects.
        names: of the inputs of representations.
        made: the class of representations.
        exact: inputs that are equal in Python are equal in JSON.
        share: of the objects at the path, where equal ones become one.
    """
    function = _Function(["def collect(root, shared, seen, made, indices, objects):"])
    function.names.update({"Made": made, "encode": _encode})
    if share is None:
        _, depth = _walk(root, aim.target.path, function)
    else:
        depth = _shared(function, aim, share)
    pad = "    " * depth
    values = [f"v{index}" for index in range(len(names))]
    for each in aim.target.inputs:
        _input(function, aim, each, f"v{names.index(each.name)}", pad)
    for each in aim.target.key:
        _key(function, aim, each, pad)
    together = values[0] if len(values) == 1 else f"({', '.join(values)})"
    new = f"Made({', '.join(values)})"
    function.lines += [
        f"{pad}k = {together}" if exact else f"{pad}k = encode({new})",
        f"{pad}i = seen.get(k)",
        f"{pad}if i is None:",
        f"{pad}    i = seen[k] = len(made)",
        f"{pad}    made.append({new})",
        f"{pad}indices.append(i)",
        f"{pad}objects.append(o)",
        "    return True",
    ]
    return function.make("collect")


def _shared(function: _Function, aim: Aim, share: Share) -> int:
    """Lines that bring each object that stands for equal ones into `o`; gives how deep to indent what follows."""
    function.names.update({"share": share, "AT": aim.position})
    function.lines += [
        "    there = shared.get(AT)",
        "    if there is None: there = shared[AT] = share(root)",
        "    for o in there:",
    ]
    if aim.types >= aim.position.types:
        return 2
    types = function.refer("TYPES", aim.types)
    function.lines.append(f"        if o.{aim.position.slots[TYPENAME].attribute} in {types}:")
    return 3


def sharer(root: Position, position: Position, path: Sequence[str]) -> Share:
    """`share(root)`: puts one object in the place of all equal ones at a position, and gives those that are left.

    All objects instead, as soon as it shows that most of them are different.
    """
    function = _Function(["def share(root):", "    found = {}", "    one = found.setdefault", "    count = 0"])
    function.names.update({"find": finder(root, tuple(path)), "ENOUGH": _ENOUGH})
    parent, depth = _walk(root, tuple(path[:-1]), function)
    pad = "    " * depth
    slot = parent.slots[path[-1]]
    (creator,) = position.creators
    values = "".join(f"p.{each.attribute}, " for each in position.slots.values() if creator in each.fillers)
    to = f"o.{slot.attribute}"
    give_up = f"{pad}    if count >= ENOUGH and len(found) * 2 > count: return find(root)"
    if _list_depth(slot.type):
        function.lines += [
            f"{pad}t = {to}",
            f"{pad}if t:",
            f"{pad}    for n, p in enumerate(t):",
            f"{pad}        if p: t[n] = one(({values}), p)",
            f"{pad}    count += len(t)",
            give_up,
        ]
    else:
        function.lines += [
            f"{pad}p = {to}",
            f"{pad}if p:",
            f"{pad}    {to} = one(({values}), p)",
            f"{pad}    count += 1",
            give_up,
        ]
    function.lines.append("    return list(found.values())")
    return function.make("share")


def lists(root: Position, path: Sequence[str]) -> tuple[int, int]:
    """How many lists a path leads through, and how many at its end."""
    depths = []
    position = root
    for key in path:
        slot = position.slots[key]
        depths.append(_list_depth(slot.type))
        position = slot.below or position
    return sum(depths), depths[-1] if depths else 0


def exact(aim: Aim) -> bool:
    """Whether inputs that are equal in Python are equal in JSON."""
    inputs = aim.target.inputs
    return all(
        aim.position.slots[each.key].exact and (each.types is None or each.types >= aim.types) for each in inputs
    ) and len({each.name for each in inputs}) == len(inputs)


def _input(function: _Function, aim: Aim, wanted: InputField, value: str, pad: str) -> None:
    """Lines that give one input its value, if it applies to the object. Of several, the last that is there counts."""
    slot = aim.position.slots[wanted.key]
    found = f"o.{slot.attribute}"
    if slot.below is not None and wanted.fields is not None:
        build = function.refer("build", builder(slot.below, wanted))
        found = f"{build}({found}) if {found} is not UNSET else UNSET"
    condition = _condition(function, aim, wanted)
    first = next(each for each in aim.target.inputs if each.name == wanted.name) is wanted
    if first and condition is not None:
        function.lines.append(f"{pad}{value} = UNSET")
    elif not first and condition != "":
        there = f"o.{slot.attribute} is not UNSET"
        condition = there if condition is None else f"{condition} and {there}"
    if condition is None:
        function.lines.append(f"{pad}{value} = {found}")
    elif condition:
        function.lines.append(f"{pad}if {condition}: {value} = {found}")


def _key(function: _Function, aim: Aim, wanted: InputField, pad: str) -> None:
    """Lines that end the function where a part of a key is missing."""
    position = aim.position
    slot = position.slots[wanted.key]
    found = f"o.{slot.attribute}"
    if slot.below is not None and wanted.fields is not None:
        missing = f"not {function.refer('identified', identifier(slot.below, wanted.fields))}({found})"
    elif position.certain(slot) and slot.type is not None and is_non_null_type(slot.type):
        return
    else:
        missing = f"({found} is None or {found} is UNSET)"
    condition = _condition(function, aim, wanted)
    if condition is None:
        function.lines.append(f"{pad}if {missing}: return False")
    elif condition:
        function.lines.append(f"{pad}if {condition} and {missing}: return False")


def _condition(function: _Function, aim: Aim, wanted: InputField) -> str | None:
    """The text of a condition under which an input applies; None for always, empty for never."""
    if wanted.types is None or wanted.types >= aim.types:
        return None
    if not wanted.types & aim.types:
        return ""
    return f"o.{aim.position.slots[TYPENAME].attribute} in {function.refer('TYPES', wanted.types)}"


def absorber(
    slots: Sequence[Slot], found: Sequence[str], source: Source
) -> Callable[[Sequence[int], Sequence[Any], Sequence[Any]], None]:
    """`absorb(indices, objects, found)`: what was found, to each object that asked for it.

    Args:
        slots: that are given.
        found: for each, its attribute in what was found.
        source: of what was found.
    """
    function = _Function([])
    function.names.update({"Rare": Rare, "copied": _copied})
    merged = [slot for slot in slots if slot.below is not None and slot.contested(source)]
    mergers = {slot: _merger(function, slot, source) for slot in merged}
    function.lines.append("def absorb(indices, objects, found):")
    if merged:
        function.lines.append("    given = set()")
    function.lines += ["    for i, o in zip(indices, objects):", "        e = found[i]"]
    if merged:
        function.lines += ["        again = i in given", "        given.add(i)"]
    for slot, of in zip(slots, found, strict=True):
        to = f"o.{slot.attribute}"
        if slot in mergers:  # what is added to one object's later is not for the others
            function.lines.append(f"        {to} = {mergers[slot]}({to}, copied(e.{of}) if again else e.{of})")
        else:
            function.lines += _leaf(to, f"e.{of}", "        ", contested=slot.contested(source))
    return function.make("absorb")


def _leaf(to: str, of: str, pad: str, *, contested: bool) -> list[str]:
    """A value that another source may have given: null changes nothing."""
    if not contested:
        return [f"{pad}{to} = {of}"]
    return [f"{pad}v = {of}", f"{pad}if {to} is UNSET or (v is not None and v is not UNSET): {to} = v"]


def _merger(function: _Function, slot: Slot, source: Source) -> str:
    """The name of a function that adds one source's objects to those of another: `merged(known, more)`."""
    below = slot.below
    if below is None:
        raise TypeError(f"{slot.key} has nothing below")
    inner = {
        each: _merger(function, each, source)
        for each in below.slots.values()
        if source in each.fillers and each.below is not None
    }
    name = function.refer("merged", None)
    head = [
        "    if b is UNSET: return a",
        "    if a is UNSET: return b",
        "    if a is None or b is None:",
        "        if a is b: return a",
        "        raise Rare",
    ]
    lines = [f"def {name}(a, b):", *head]
    for each in below.slots.values():
        if each in inner:
            lines.append(f"    a.{each.attribute} = {inner[each]}(a.{each.attribute}, b.{each.attribute})")
        elif source in each.fillers:
            lines += _leaf(f"a.{each.attribute}", f"b.{each.attribute}", "    ", contested=True)
    function.lines += [*lines, "    return a"]
    for _ in range(_list_depth(slot.type)):
        item, name = name, function.refer("merged", None)
        function.lines += [
            f"def {name}(a, b):",
            *head,
            "    if len(a) != len(b): raise Rare",
            f"    a[:] = map({item}, a, b)",
            "    return a",
        ]
    return name


def _copied(value: Any) -> Any:
    """Objects that nobody else has."""
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, msgspec.Struct):
        made = copy.copy(value)
        for name in made.__struct_fields__:
            setattr(made, name, _copied(getattr(made, name)))
        return made
    return value


def renamer(position: Position, source: Source) -> Callable[[Sequence[Any]], None] | None:
    """`rename(objects)`: what came under other keys, to where it belongs. None where there is nothing of the kind."""
    function = _Function(["def rename(objects):"])
    for at, path in _given(position, source, ()):
        aliases = at.aliases.get(source, ())
        if not aliases:
            continue
        function.lines.append("    for root in objects:")
        _, depth = _walk(position, path, function, depth=2)
        pad = "    " * depth
        for alias in aliases:
            function.lines.append(f"{pad}if o.{alias.attribute} is not UNSET:")
            function.lines.append(
                f"{pad}    o.{alias.slot.attribute}, o.{alias.attribute} = o.{alias.attribute}, UNSET"
            )
    return function.make("rename") if len(function.lines) > 1 else None


def _given(position: Position, source: Source, path: tuple[str, ...]) -> list[tuple[Position, tuple[str, ...]]]:
    """The positions that a source's answer has, outermost first."""
    found = [(position, path)]
    for slot in position.slots.values():
        if slot.below is not None and source in slot.fillers:
            found += _given(slot.below, source, (*path, slot.key))
    return found


def finisher(root: Position) -> Callable[[Any], bool] | None:
    """`finish(root)`: takes out what the client did not ask for; False where something it asked for is missing.

    None where there is nothing to do.
    """
    seen = list(places(root, hidden=False))
    function = _Function(["def finish(root):"])
    for position, path in seen:
        _settle(function, root, position, path)
    for position, path in seen:
        _hide(function, root, position, path)
    if len(function.lines) == 1:
        return None
    function.lines.append("    return True")
    return function.make("finish")


def _settle(function: _Function, root: Position, position: Position, path: FetchPath) -> None:
    """Lines that look for what may be missing, and part what is seen of some runtime types only."""
    must = [slot for slot in position.slots.values() if slot.uncertain]
    names = [slot for slot in position.slots.values() if slot.typename] if position.abstract else []
    partly = [
        slot
        for slot in position.slots.values()
        if slot.visible
        and slot.key != TYPENAME
        and not slot.typename
        and slot.visible != position.types
        and (slot.uncertain or slot.filled() - slot.visible)
    ]
    if not must and not names and not partly:
        return
    _, depth = _walk(root, path, function)
    pad = "    " * depth
    if not position.abstract or TYPENAME not in position.slots:
        function.lines += [f"{pad}if o.{slot.attribute} is UNSET: return False" for slot in must]
        return
    rules = {
        name: (
            tuple(slot.attribute for slot in must if slot.key != TYPENAME and name in slot.visible),
            tuple(slot.attribute for slot in partly if name not in slot.visible),
            tuple(slot.attribute for slot in names if name in slot.visible),
        )
        for name in position.types
    }
    typename = position.slots[TYPENAME].attribute
    function.lines += [
        f"{pad}rule = {function.refer('RULES', rules)}.get(o.{typename})",
        f"{pad}if rule is None: return False",
        f"{pad}for a in rule[0]:",
        f"{pad}    if getattr(o, a) is UNSET: return False",
        *([f"{pad}for a in rule[1]: setattr(o, a, UNSET)"] if partly else []),
        *([f"{pad}for a in rule[2]: setattr(o, a, o.{typename})"] if names else []),
    ]


def _hide(function: _Function, root: Position, position: Position, path: FetchPath) -> None:
    """Lines that take out what only requests needed."""
    hidden = [
        slot.attribute
        for slot in position.slots.values()
        if not slot.visible and not (slot.key == TYPENAME and not position.abstract)
    ]
    typename = position.slots.get(TYPENAME)
    partly = (
        typename is not None and position.abstract and bool(typename.visible) and typename.visible != position.types
    )
    if not hidden and not partly:
        return
    _, depth = _walk(root, path, function)
    pad = "    " * depth
    function.lines += [f"{pad}o.{attribute} = UNSET" for attribute in hidden]
    if typename is not None and partly:
        types = function.refer("TYPES", typename.visible)
        function.lines.append(f"{pad}if o.{typename.attribute} not in {types}: o.{typename.attribute} = UNSET")


def _walk(root: Position, path: FetchPath, function: _Function, depth: int = 1) -> tuple[Position, int]:
    """Add lines that bring each object at a path into `o`; gives the position, and how deep to indent what follows."""
    lines = function.lines
    lines.append(f"{'    ' * depth}o = root")
    position = root
    for segment in path:
        pad = "    " * depth
        if isinstance(segment, frozenset):
            if not segment >= position.types:
                typename = position.slots.get(TYPENAME)
                of_type = f"o.{typename.attribute} in {function.refer('TYPES', segment)}" if typename else "False"
                lines.append(f"{pad}if {of_type}:")
                depth += 1
            continue
        slot = position.slots[segment]
        below = slot.below
        if below is None:
            raise TypeError(f"{segment} has nothing below")
        variable = f"x{depth}"
        lines.append(f"{pad}{variable} = o.{slot.attribute}")
        for _ in range(_list_depth(slot.type)):
            lines.append(f"{pad}if {variable}:")
            lines.append(f"{pad}    for {variable}_ in {variable}:")
            depth += 2
            pad, variable = "    " * depth, f"{variable}_"
        lines.append(f"{pad}if {variable}:")
        lines.append(f"{pad}    o = {variable}")
        depth += 1
        position = below
    return position, depth


def _list_depth(type_: GraphQLOutputType | None) -> int:
    depth = 0
    while type_ is not None and (is_non_null_type(type_) or is_list_type(type_)):
        depth += is_list_type(type_)
        type_ = type_.of_type
    return depth
