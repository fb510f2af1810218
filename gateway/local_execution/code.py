"""Functions made as source text: loops over a position's objects, with nothing that this operation does not need.

Names in the text are attributes and parameters as the schema's Python code spells them, attributes of the position
classes (`f0`), and numbered variables; nothing of a client's is ever part of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strawberry.types.fields.resolver import StrawberryResolver

from gateway.local_execution.leaves import Conversion

Assign = Callable[[Sequence[Any], Sequence[Any]], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """An attribute of the source, and how its values get into the response."""

    name: str
    conversion: Conversion


def maker(
    made: type, slots: Sequence[tuple[str, bool]], copied: Mapping[str, Copied], type_name: str
) -> Callable[[Sequence[Any]], list[Any]]:
    """`make(sources)`: an object of the response for each source.

    Args:
        made: their class.
        slots: its attributes in order, and whether each holds the type's name.
        copied: what is copied, by attribute.
        type_name: of the sources.
    """
    names: dict[str, Any] = {"Made": made}
    lines: list[str] = []
    values: list[str] = []
    for number, (attribute, is_type_name) in enumerate(slots):
        copy = copied.get(attribute)
        if copy is None:
            values.append(repr(type_name) if is_type_name else "None")
            continue
        lines += [f"        v = s.{copy.name}", *_converted(copy.conversion, number, names, "        ")]
        lines.append(f"        v{number} = v")
        values.append(f"v{number}")
    if not copied:
        lines = []
    text = [
        "def make(sources):",
        "    made = []",
        "    add = made.append",
        "    for s in sources:",
        *lines,
        f"        add(Made({', '.join(values)}))",
        "    return made",
    ]
    return _made(text, names, "make")


def assigner(attribute: str) -> Assign:
    """`assign(objects, values)`: gives each object of the response a value."""
    text = ["def assign(objects, values):", "    for o, v in zip(objects, values):", f"        o.{attribute} = v"]
    return _made(text, {}, "assign")


def filler(attribute: str, conversion: Conversion) -> Assign:
    """`fill(objects, values)`: gives each object of the response its leaf."""
    names: dict[str, Any] = {}
    text = [
        "def fill(objects, values):",
        "    for o, v in zip(objects, values):",
        *_converted(conversion, 0, names, "        "),
        f"        o.{attribute} = v",
    ]
    return _made(text, names, "fill")


def reader(name: str) -> Callable[[Sequence[Any]], list[Any]]:
    """`read(sources)`: the values of an attribute."""
    return _made(["def read(sources):", f"    return [s.{name} for s in sources]"], {}, "read")


def caller(resolver: StrawberryResolver[Any]) -> Callable[[Any, Any], Any]:
    """`call(source, info)`: a resolver that takes no arguments of the client's."""
    given = ["s"] if resolver.self_parameter else []
    named = {}
    for parameter, value in (
        (resolver.parent_parameter, "s"),
        (resolver.root_parameter, "s"),
        (resolver.info_parameter, "i"),
    ):
        if parameter is not None:
            named[parameter.name] = value
    given += [f"{name}={value}" for name, value in named.items()]
    text = ["def call(s, i):", f"    return resolve({', '.join(given)})"]
    function = resolver.wrapped_func if callable(resolver.wrapped_func) else resolver
    return _made(text, {"resolve": function}, "call")


def _converted(conversion: Conversion, number: int, names: dict[str, Any], pad: str) -> list[str]:
    """Lines that turn `v` into what the response has."""
    complete = f"c{number}"
    names[complete] = conversion.complete
    if conversion.names is not None:
        names[f"n{number}"], names[f"K{number}"] = conversion.names, conversion.kind
        unless = " and w is not None" if conversion.nullable else ""
        return [
            f"{pad}w = v",
            f"{pad}v = n{number}.get(w._name_) if type(w) is K{number} else None",
            f"{pad}if v is None{unless}:",
            f"{pad}    v = {complete}(w)",
        ]
    if conversion.wrong is None:
        return [f"{pad}v = {complete}(v)"]
    return [f"{pad}if {conversion.wrong}:", f"{pad}    v = {complete}(v)"]


def _made(lines: Sequence[str], names: Mapping[str, Any], name: str) -> Callable[..., Any]:
    namespace = dict(names)
    exec("\n".join(lines), namespace)  # noqa: S102  # our own text, see above
    made: Callable[..., Any] = namespace[name]
    return made
