"""Functions made as source text: walks over a response's objects, with nothing that this operation does not need.

Names in the text are attributes of the position classes (`f0`, `h1`) and numbered variables; nothing of a client's or
a subgraph's is ever part of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from graphql import GraphQLOutputType, is_list_type, is_non_null_type

from gateway.federation.executor.compiled.layout import TYPENAME, Position, Slot
from gateway.federation.planner.plan import FetchPath, InputField

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Function:
    """Lines of one function, and what they refer to by name."""

    lines: list[str]
    names: dict[str, Any]

    def make(self, name: str) -> Callable[..., Any]:
        namespace = dict(self.names)
        exec("\n".join(self.lines), namespace)  # noqa: S102  # our own text, see above
        made: Callable[..., Any] = namespace[name]
        return made


def collector(
    root: Position, path: FetchPath, inputs: Sequence[InputField], key: Sequence[InputField], made: Any
) -> Callable[..., bool]:
    """`collect(root, seen, made, indices, objects)`: representations of the objects at a path, each distinct one once.

    It adds each object and the index of its representation, and gives False when one cannot be asked for.

    Args:
        root: the operation's positions.
        path: to the objects.
        inputs: of representations.
        key: inputs that must not be null.
        made: the class of representations.
    """
    names: dict[str, Any] = {"Made": made, "UNSET": msgspec.UNSET, "encode": _encode}
    lines, position, depth = _walk(root, path, names)
    pad = "    " * depth
    values = []
    for index, field in enumerate(inputs):
        slot = position.slots[field.key]
        values.append(f"v{index}")
        lines.append(f"{pad}v{index} = o.{slot.attribute}")
    asked_by = {field.key for field in key}
    for value, field in zip(values, inputs, strict=True):
        if field.key in asked_by and _may_be_missing(position, position.slots[field.key]):
            lines.append(f"{pad}if {value} is None or {value} is UNSET: return False")
    exact = all(position.slots[field.key].exact for field in inputs)
    together = values[0] if len(values) == 1 else f"({', '.join(values)})"
    lines += [
        f"{pad}k = {together}" if exact else f"{pad}k = encode(({', '.join(values)},))",
        f"{pad}i = seen.get(k)",
        f"{pad}if i is None:",
        f"{pad}    i = seen[k] = len(made)",
        f"{pad}    made.append(Made({', '.join(values)}))",
        f"{pad}indices.append(i)",
        f"{pad}objects.append(o)",
    ]
    text = ["def collect(root, seen, made, indices, objects):", *lines, "    return True"]
    return _Function(text, names).make("collect")


def absorber(pairs: Sequence[tuple[str, str, bool]]) -> Callable[[list[int], list[Any], list[Any]], None]:
    """`absorb(indices, objects, found)`: the attributes of what was found, to each object that asked for it.

    Args:
        pairs: attribute of the object, attribute of what was found, and whether a null changes nothing.
    """
    lines = ["def absorb(indices, objects, found):", "    for i, o in zip(indices, objects):", "        e = found[i]"]
    for to, of, guarded in pairs:
        lines.append(f"        if e.{of} is not None: o.{to} = e.{of}" if guarded else f"        o.{to} = e.{of}")
    return _Function(lines if pairs else [*lines[:1], "    pass"], {}).make("absorb")


def checker(root: Position, position: Position, path: Sequence[str], creator: int) -> Callable[[Any], bool] | None:
    """`check(root)`: whether objects of several types have what their type has, and nothing else.

    None where the class says it all.
    """
    partial = [
        slot
        for slot in position.slots.values()
        if slot.key != TYPENAME and creator in slot.fillers and not slot.fillers[creator] >= position.types
    ]
    if not partial:
        return None
    rules = {
        name: (
            tuple(slot.attribute for slot in partial if name in slot.fillers[creator]),
            tuple(slot.attribute for slot in partial if name not in slot.fillers[creator]),
        )
        for name in position.types
    }
    names: dict[str, Any] = {"RULES": rules, "UNSET": msgspec.UNSET}
    lines, _, depth = _walk(root, tuple(path), names)
    pad = "    " * depth
    lines += [
        f"{pad}there, absent = RULES[o.{position.slots[TYPENAME].attribute}]",
        f"{pad}for a in there:",
        f"{pad}    if getattr(o, a) is UNSET: return False",
        f"{pad}for a in absent:",
        f"{pad}    if getattr(o, a) is not UNSET: return False",
    ]
    return _Function(["def check(root):", *lines, "    return True"], names).make("check")


def hider(root: Position, paths: Sequence[tuple[Position, Sequence[str]]]) -> Callable[[Any], None] | None:
    """`hide(root)`: takes out what the client did not ask for. None where there is nothing of the kind."""
    names: dict[str, Any] = {"UNSET": msgspec.UNSET}
    text = ["def hide(root):"]
    for position, path in paths:
        hidden = [
            slot.attribute
            for slot in position.slots.values()
            if not slot.visible and not (slot.key == TYPENAME and not position.abstract)
        ]
        if hidden:
            lines, _, depth = _walk(root, tuple(path), names)
            text += [*lines, *(f"{'    ' * depth}o.{attribute} = UNSET" for attribute in hidden)]
    return _Function(text, names).make("hide") if len(text) > 1 else None


def _walk(root: Position, path: FetchPath, names: dict[str, Any]) -> tuple[list[str], Position, int]:
    """Lines that bring each object at a path into `o`, the position, and how deep what is done with it is indented."""
    lines = ["    o = root"]
    depth, position = 1, root
    for segment in path:
        pad = "    " * depth
        if isinstance(segment, frozenset):
            if not segment >= position.types:
                name = f"TYPES{len(names)}"
                names[name] = segment
                lines.append(f"{pad}if o.{position.slots[TYPENAME].attribute} in {name}:")
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
    return lines, position, depth


def _list_depth(type_: GraphQLOutputType | None) -> int:
    depth = 0
    while type_ is not None and (is_non_null_type(type_) or is_list_type(type_)):
        depth += is_list_type(type_)
        type_ = type_.of_type
    return depth


def _may_be_missing(position: Position, slot: Slot) -> bool:
    certain = slot.fillers.get(position.creator, frozenset()) >= position.types
    return not certain or slot.type is None or not is_non_null_type(slot.type)
