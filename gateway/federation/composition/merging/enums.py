"""Enums: united when only returned, intersected when only given, equal when both.

Source: federation specification, "Merging types", enums.
"""

from collections.abc import Mapping
from enum import Flag

from gateway.federation.composition.errors import name_list
from gateway.federation.composition.merging.applied import merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.merging.descriptions import merge_descriptions
from gateway.federation.composition.supergraph import MergedType, MergedValue
from gateway.federation.composition.typerefs import named


class Usage(Flag):
    """The positions in which the merged schema uses a type."""

    NONE = 0
    INPUT = 1
    OUTPUT = 2
    BOTH = 3


def usages(types: Mapping[str, MergedType]) -> Mapping[str, Usage]:
    """How each named type is used, over all merged fields, arguments and input fields."""
    found: dict[str, Usage] = {}

    def note(ref: str, usage: Usage) -> None:
        found[named(ref)] = found.get(named(ref), Usage.NONE) | usage

    for each in types.values():
        for field in each.fields.values():
            note(field.type, Usage.OUTPUT)
            for arg in field.args.values():
                note(arg.type, Usage.INPUT)
        for value in each.inputs.values():
            note(value.type, Usage.INPUT)
    return found


def merge_enum(merged: MergedType, usage: Usage, context: MergeContext) -> None:
    """Fill in the values of an enum."""
    sources = context.sources(merged.name)
    everyone = [schema.name for schema, _ in sources]
    for name in dict.fromkeys(name for _, definition in sources for name in definition.values):
        having = [(schema, definition.values[name]) for schema, definition in sources if name in definition.values]
        lacking = [schema.name for schema, definition in sources if name not in definition.values]
        coordinate = f"{merged.name}.{name}"
        value = MergedValue(
            name,
            [schema.graph for schema, _ in having],
            merge_descriptions(coordinate, (each.description for _, each in having), context.problems),
            merge_applied(coordinate, ((schema.name, each.directives) for schema, each in having), context),
        )
        if not lacking:
            merged.values[name] = value
        elif Usage.INPUT in usage and value.has("inaccessible"):
            # No client can give it, so it may wait in one subgraph until the others have it.
            merged.values[name] = value
        elif usage is Usage.BOTH:
            merged.values[name] = value
            message = (
                f'"{merged.name}" is both given and returned, so its values must agree: "{name}" is defined in '
                f"{name_list(schema.name for schema, _ in having)} and missing in {name_list(lacking)}"
            )
            context.problems.error("ENUM_VALUE_MISMATCH", message, subgraphs=everyone, coordinates=[coordinate])
        elif usage is Usage.INPUT:
            message = f'"{coordinate}" is left out: not all subgraphs accept it (missing in {name_list(lacking)})'
            context.problems.hint("INCONSISTENT_ENUM_VALUE_FOR_INPUT_ENUM", message, coordinates=[coordinate])
        else:
            merged.values[name] = value
            message = f'"{coordinate}" is kept although {name_list(lacking)} never return{"s" * (len(lacking) == 1)} it'
            context.problems.hint("INCONSISTENT_ENUM_VALUE_FOR_OUTPUT_ENUM", message, coordinates=[coordinate])
    if not merged.values:
        message = f'"{merged.name}" is given as input and has no value that {name_list(everyone)} have in common'
        context.problems.error("EMPTY_MERGED_ENUM_TYPE", message, subgraphs=everyone, coordinates=[merged.name])
