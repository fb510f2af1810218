"""A program for people to read: the objects of the response, and where each of their values comes from."""

from collections.abc import Iterator

from graphql import GraphQLObjectType, is_abstract_type, is_leaf_type

from gateway.local_execution.layout import How, Position, Program

_MAX_LINES = 500


def describe(program: Program) -> str:
    """One paragraph a position: its fields in the order of the response, with their types and sources."""
    lines: list[str] = []
    for line in _position(program, program.root):
        if len(lines) == _MAX_LINES:
            lines.append("…")
            break
        lines.append(line)
    return "\n".join(lines)


def _position(program: Program, position: Position) -> Iterator[str]:
    yield f"{position.path or 'the root'} ({position.object_type.name})"
    for each in position.fields.values():
        known = "" if each.how is How.TYPENAME else f": {each.type}"
        yield f"  {each.key}{known}, {each.how.value}"
    for each in position.fields.values():
        named = each.named
        if is_leaf_type(named):
            continue
        types = program.schema.get_possible_types(named) if is_abstract_type(named) else [named]
        for type_ in types:
            if isinstance(type_, GraphQLObjectType):
                below = program.below(position, each, type_)
                if below is not None:
                    yield from _position(program, below)
