"""Access control across types: what an interface's callers must meet, and what a requirement would reveal.

An interface carries no access control of its own (`rules.placement`); its callers must meet that of every implementer,
since any may answer. A field with ``@requires`` must ask at least for what the fields it requires ask for.
Source: specs.apollo.dev: authenticated, requiresScopes and policy, v0.1.
"""

from collections.abc import Iterator, Sequence

from gateway.access.requirement import ARGUMENTS, Requirement, requirement
from gateway.federation.composition.errors import Problems
from gateway.federation.composition.fieldsets import parse_field_set, resolve
from gateway.federation.composition.merging.applied import merge_applied
from gateway.federation.composition.merging.context import MergeContext
from gateway.federation.composition.model import Applied, Kind
from gateway.federation.composition.supergraph import MergedField, MergedType, Supergraph
from gateway.federation.composition.typerefs import named


def raise_to_interfaces(context: MergeContext) -> None:
    """Give each interface and its fields the access control of all implementers together."""
    for interface in context.types.values():
        if interface.kind is not Kind.INTERFACE:
            continue
        implementers = [each for each in context.types.values() if interface.name in each.implements]
        everyone = [interface, *implementers]
        interface.directives = _raised(interface.name, [(each.name, each.directives) for each in everyone], context)
        for name, field in interface.fields.items():
            sources = [(each.name, each.fields[name].directives) for each in everyone if name in each.fields]
            field.directives = _raised(f"{interface.name}.{name}", sources, context)


def _raised(coordinate: str, sources: Sequence[tuple[str, Sequence[Applied]]], context: MergeContext) -> list[Applied]:
    """The first source's directives, with the access control of all."""
    kept = [each for each in sources[0][1] if each not in _access(sources[0][1])]
    return kept + merge_applied(coordinate, [(name, _access(applied)) for name, applied in sources], context)


def _access(directives: Sequence[Applied]) -> list[Applied]:
    return [each for each in directives if each.is_known and each.name in ARGUMENTS]


def _requirement(*directives: Sequence[Applied]) -> Requirement:
    applied = [each for group in directives for each in _access(group)]
    return requirement((each.name, each.value(ARGUMENTS[each.name] or "")) for each in applied) or Requirement()


def check_required_access(supergraph: Supergraph, problems: Problems) -> None:
    """Record fields that reveal what they require to callers who could not ask for it."""
    for schema in supergraph.schemas:
        for parent, field in schema.fields():
            merged = supergraph.types.get(parent.name)
            for applied in field.applied("requires") if merged is not None else ():
                if merged is None or field.name not in merged.fields:
                    continue
                own = _requirement(*_sources(supergraph, merged, merged.fields[field.name]))
                uses, _ = resolve(schema, parent, parse_field_set(str(applied.value("fields"))))
                for use in uses:
                    owner = supergraph.types[use.parent.name]
                    needed = _requirement(*_sources(supergraph, owner, owner.fields[use.field.name]))
                    if not own.covers(needed):
                        at, of = f"{parent.name}.{field.name}", f"{owner.name}.{use.field.name}"
                        message = f'"{at}" requires "{of}", and can be asked for with less than that demands'
                        problems.error(
                            "MISSING_TRANSITIVE_AUTH_REQUIREMENTS",
                            message,
                            subgraphs=[schema.name],
                            coordinates=[at, of],
                        )


def _sources(supergraph: Supergraph, owner: MergedType, field: MergedField) -> Iterator[Sequence[Applied]]:
    """Access control met on the way to a field's value: of its type, of the field, and of what it returns."""
    yield owner.directives
    yield field.directives
    returned = supergraph.types.get(named(field.type))
    if returned is not None:
        yield returned.directives
