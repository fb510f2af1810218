"""Arguments and input fields: only what every subgraph accepts, with the strictest type."""

from collections.abc import Mapping, Sequence

from gateway.federation.composition.errors import name_list
from gateway.federation.composition.merging.applied import merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.merging.descriptions import merge_descriptions
from gateway.federation.composition.model import InputValue, SubgraphSchema
from gateway.federation.composition.supergraph import JoinField, MergedInput, MergedType
from gateway.federation.composition.typerefs import is_subtype

Sources = Sequence[tuple[SubgraphSchema, Mapping[str, InputValue]]]


def strictest(left: str, right: str) -> str | None:
    """The one of two input types whose values the other accepts as well; None when neither is."""
    if is_subtype(left, right, _never):
        return left
    return right if is_subtype(right, left, _never) else None


def _never(_sub: str, _sup: str) -> bool:
    return False


def merge_arguments(coordinate: str, sources: Sources, context: MergeContext) -> dict[str, MergedInput]:
    """The arguments all sources have; ``sources`` are the subgraphs that resolve the field."""
    names = list(dict.fromkeys(name for _, args in sources for name in args))
    merged: dict[str, MergedInput] = {}
    for name in names:
        at = f"{coordinate}({name}:)"
        if _is_everywhere(at, name, sources, context, is_argument=True):
            merged[name] = _merge(at, name, sources, context, "FIELD_ARGUMENT")
    return merged


def merge_input_type(merged: MergedType, context: MergeContext) -> None:
    """Fill in the fields of an input object."""
    sources = [(schema, definition.inputs) for schema, definition in context.sources(merged.name)]
    names = list(dict.fromkeys(name for _, inputs in sources for name in inputs))
    is_sound = True
    for name in names:
        at = f"{merged.name}.{name}"
        errors = len(context.problems.errors)
        if _is_everywhere(at, name, sources, context, is_argument=False):
            merged.inputs[name] = _merge(at, name, sources, context, "INPUT_FIELD")
        is_sound = is_sound and len(context.problems.errors) == errors
    if not merged.inputs and is_sound:
        subgraphs = [schema.name for schema, _ in sources]
        message = f'"{merged.name}" has no field that {name_list(subgraphs)} have in common'
        context.problems.error("EMPTY_MERGED_INPUT_TYPE", message, subgraphs=subgraphs, coordinates=[merged.name])


def _is_everywhere(coordinate: str, name: str, sources: Sources, context: MergeContext, *, is_argument: bool) -> bool:
    what = "argument" if is_argument else "input field"
    having = [(schema, inputs[name]) for schema, inputs in sources if name in inputs]
    lacking = [schema.name for schema, inputs in sources if name not in inputs]
    if not lacking:
        return True
    requiring = [schema.name for schema, value in having if value.is_required]
    if requiring:
        message = (
            f'{what} "{coordinate}" is required in {name_list(requiring)} and missing in {name_list(lacking)}: '
            "a query could not satisfy both"
        )
        code = f"REQUIRED_{'ARGUMENT' if is_argument else 'INPUT_FIELD'}_MISSING_IN_SOME_SUBGRAPH"
        context.problems.error(code, message, subgraphs=[*requiring, *lacking], coordinates=[coordinate])
    else:
        hint = "INCONSISTENT_ARGUMENT_PRESENCE" if is_argument else "INCONSISTENT_INPUT_OBJECT_FIELD"
        message = f'{what} "{coordinate}" is left out: {name_list(lacking)} lack{"s" * (len(lacking) == 1)} it'
        context.problems.hint(hint, message, subgraphs=lacking, coordinates=[coordinate])
    return False


def _merge(coordinate: str, name: str, sources: Sources, context: MergeContext, what: str) -> MergedInput:
    values = [(schema, inputs[name]) for schema, inputs in sources]
    merged = MergedInput(
        name,
        type=_merge_type(coordinate, values, context, what),
        default=_merge_default(coordinate, values, context, what),
        description=merge_descriptions(coordinate, (each.description for _, each in values), context.problems),
        directives=merge_applied(coordinate, ((schema.name, each.directives) for schema, each in values), context),
    )
    if what == "INPUT_FIELD" and any(each.type != merged.type for _, each in values):
        merged.joins = [JoinField(schema.graph, type=each.type) for schema, each in values]
    return merged


def _merge_type(
    coordinate: str, values: Sequence[tuple[SubgraphSchema, InputValue]], context: MergeContext, what: str
) -> str:
    merged: str | None = values[0][1].type
    for _, each in values[1:]:
        merged = None if merged is None else strictest(merged, each.type)
    if merged is None:
        kinds = ", ".join(f'{each.type} in "{schema.name}"' for schema, each in values)
        code = "FIELD_ARGUMENT_TYPE_MISMATCH" if what == "FIELD_ARGUMENT" else "FIELD_TYPE_MISMATCH"
        message = f'"{coordinate}" has types that do not merge: {kinds}'
        subgraphs = [schema.name for schema, _ in values]
        context.problems.error(code, message, subgraphs=subgraphs, coordinates=[coordinate])
        return values[0][1].type
    if any(each.type != merged for _, each in values):
        message = f'"{coordinate}" has types that differ in nullability; the supergraph has {merged}'
        context.problems.hint(
            "INCONSISTENT_BUT_COMPATIBLE_ARGUMENT_TYPE"
            if what == "FIELD_ARGUMENT"
            else "INCONSISTENT_BUT_COMPATIBLE_FIELD_TYPE",
            message,
            coordinates=[coordinate],
        )
    return merged


def _merge_default(
    coordinate: str, values: Sequence[tuple[SubgraphSchema, InputValue]], context: MergeContext, what: str
) -> str | None:
    given = {each.default for _, each in values}
    if len(given - {None}) > 1:
        kinds = ", ".join(f'{each.default} in "{schema.name}"' for schema, each in values if each.default is not None)
        message = f'"{coordinate}" has different default values: {kinds}'
        subgraphs = [schema.name for schema, each in values if each.default is not None]
        context.problems.error(f"{what}_DEFAULT_MISMATCH", message, subgraphs=subgraphs, coordinates=[coordinate])
        return None
    if None in given:
        if len(given) > 1:
            message = f'"{coordinate}" has a default value in some subgraphs only, and none in the supergraph'
            context.problems.hint("INCONSISTENT_DEFAULT_VALUE_PRESENCE", message, coordinates=[coordinate])
        return None
    return next(iter(given))
