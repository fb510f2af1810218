"""Directive definitions of the supergraph: executable ones all subgraphs share, own ones by ``@composeDirective``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.federation.composition.errors import Problems, name_list
from gateway.federation.composition.links import LINK_IDENTITY, Link
from gateway.federation.composition.merging.context import ComposedDirective
from gateway.federation.composition.merging.inputs import strictest
from gateway.federation.composition.model import DirectiveDef, SubgraphSchema
from gateway.federation.composition.supergraph import ComposedLink

EXECUTABLE_LOCATIONS = frozenset(
    {
        "QUERY",
        "MUTATION",
        "SUBSCRIPTION",
        "FIELD",
        "FRAGMENT_DEFINITION",
        "FRAGMENT_SPREAD",
        "INLINE_FRAGMENT",
        "VARIABLE_DEFINITION",
    }
)


@dataclass(frozen=True, slots=True)
class _Request:
    """One ``@composeDirective``, resolved: the directive's local name and the link it comes from."""

    schema: SubgraphSchema
    local: str
    spec: str
    link: Link


def find_composed(schemas: Sequence[SubgraphSchema], problems: Problems) -> Mapping[str, ComposedDirective]:
    """The team's own directives to carry, by name. Source: federation specification, ``@composeDirective``."""
    requests = [each for schema in schemas for each in _requests(schema, problems)]
    by_spec: dict[tuple[str, str], list[_Request]] = {}
    for each in requests:
        by_spec.setdefault((each.link.identity, each.spec), []).append(each)
    chosen: dict[tuple[str, str], _Request] = {}
    for (identity, spec), group in by_spec.items():
        if _agree(identity, spec, group, problems):
            chosen[identity, spec] = max(group, key=lambda each: each.link.version or (0, 0))
    imports: dict[str, list[tuple[str, str]]] = {}
    for (identity, spec), each in chosen.items():
        imports.setdefault(identity, []).append((f"@{each.local}", spec))
    latest = {
        identity: max(
            (each.link for (other, _), each in chosen.items() if other == identity),
            key=lambda link: link.version or (0, 0),
        )
        for identity in imports
    }
    return {
        each.local: ComposedDirective(
            each.local,
            each.schema.directive_defs[each.local].is_repeatable,
            ComposedLink(latest[identity].url, tuple(sorted(imports[identity]))),
            frozenset(request.schema.name for request in by_spec[identity, spec]),
        )
        for (identity, spec), each in chosen.items()
        if _is_name_free(each, chosen, problems)
    }


def _requests(schema: SubgraphSchema, problems: Problems) -> list[_Request]:
    found: list[_Request] = []
    for applied in schema.schema_directives:
        if not (applied.is_known and applied.name == "composeDirective"):
            continue
        name = applied.value("name")

        def error(message: str, hint: str | None = None) -> None:
            problems.error("DIRECTIVE_COMPOSITION_ERROR", message, subgraphs=[schema.name], hint=hint)

        if not isinstance(name, str) or not name.startswith("@"):
            error(f'@composeDirective names "{name}"; names of directives start with "@"')
            continue
        link = next((each for each in schema.links if each.spec_name(name) is not None), None)
        if link is not None and (link.is_federation or link.identity == LINK_IDENTITY):
            error(
                f"{name} belongs to federation, which decides by itself what to carry", "Remove the @composeDirective."
            )
        elif name[1:] not in schema.directive_defs:
            error(f"@composeDirective names {name}, which the subgraph does not define")
        elif link is None:
            error(f"{name} is not imported from a specification with @link")
        else:
            found.append(_Request(schema, name[1:], str(link.spec_name(name)), link))
    return found


def _agree(identity: str, spec: str, group: Sequence[_Request], problems: Problems) -> bool:
    subgraphs = [each.schema.name for each in group]
    if len({each.local for each in group}) > 1:
        listed = ", ".join(f'@{each.local} in "{each.schema.name}"' for each in group)
        message = f"{spec} of {identity} has different names: {listed}"
        problems.error("LINK_IMPORT_NAME_MISMATCH", message, subgraphs=subgraphs, coordinates=[spec])
        return False
    majors = {each.link.version[0] if each.link.version else 0 for each in group}
    if len(majors) > 1:
        message = f"{name_list(subgraphs)} link different major versions of {identity}"
        problems.error(
            "DIRECTIVE_COMPOSITION_ERROR",
            message,
            subgraphs=subgraphs,
            coordinates=[spec],
            hint="Link one major version everywhere.",
        )
        return False
    return True


def _is_name_free(each: _Request, chosen: Mapping[tuple[str, str], _Request], problems: Problems) -> bool:
    others = [other for other in chosen.values() if other.local == each.local and other is not each]
    if not others:
        return True
    message = f"@{each.local} stands for directives of different specifications"
    subgraphs = [request.schema.name for request in (each, *others)]
    problems.error("DIRECTIVE_COMPOSITION_ERROR", message, subgraphs=sorted(subgraphs), hint="Rename one with `as`.")
    return False


def merge_definitions(
    schemas: Sequence[SubgraphSchema], composed: Mapping[str, ComposedDirective], problems: Problems
) -> dict[str, DirectiveDef]:
    """Definitions the supergraph prints, by name."""
    merged: dict[str, DirectiveDef] = {}
    for name in sorted({name for schema in schemas for name in schema.directive_defs}):
        having = [schema for schema in schemas if name in schema.directive_defs]
        definitions = [schema.directive_defs[name] for schema in having]
        if name in composed:
            merged[name] = _latest(name, having, composed[name])
            continue
        executable = [each for each in definitions if each.locations & EXECUTABLE_LOCATIONS]
        if not executable:
            continue
        common = _intersect(definitions) if len(definitions) == len(schemas) else None
        if common is None:
            message = f"@{name} is left out: not every subgraph defines it in a compatible way"
            subgraphs = [schema.name for schema in having]
            problems.hint("INCONSISTENT_EXECUTABLE_DIRECTIVE_PRESENCE", message, subgraphs=subgraphs)
        else:
            merged[name] = common
    return merged


def _latest(name: str, having: Sequence[SubgraphSchema], composed: ComposedDirective) -> DirectiveDef:
    linked = next(
        (schema for schema in having if any(link.url == composed.link.url for link in schema.links)), having[0]
    )
    return linked.directive_defs[name]


def _intersect(definitions: Sequence[DirectiveDef]) -> DirectiveDef | None:
    """What every subgraph accepts: common locations and arguments; None when a required argument is not common."""
    locations = frozenset.intersection(*(each.locations for each in definitions)) & EXECUTABLE_LOCATIONS
    if not locations:
        return None
    args = dict(definitions[0].args)
    for each in definitions[1:]:
        for name in set(args) | set(each.args):
            mine, theirs = args.get(name), each.args.get(name)
            if mine is None or theirs is None:
                if any(arg is not None and arg.is_required for arg in (mine, theirs)):
                    return None
                args.pop(name, None)
                continue
            ref = strictest(mine.type, theirs.type)
            if ref is None:
                return None
            args[name] = replace(mine, type=ref, default=mine.default if mine.default == theirs.default else None)
    return DirectiveDef(
        definitions[0].name,
        args,
        locations,
        all(each.is_repeatable for each in definitions),
        next((each.description for each in definitions if each.description), None),
    )
