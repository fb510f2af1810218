"""Supergraph SDL: the merged types with their ``join__`` directives, readable by any gateway of the join specification.

Source: https://specs.apollo.dev/join, v0.3; v0.4, which adds ``overrideLabel``, only when a field needs it, so that
gateways of any age can read what they support.
"""

import json
from collections.abc import Iterable

from graphql.language.block_string import print_block_string

from gateway.federation.composition.model import BUILT_IN_SCALARS, Applied, DirectiveDef, InputValue, Kind
from gateway.federation.composition.specs import FEATURES
from gateway.federation.composition.supergraph import (
    JoinField,
    JoinType,
    MergedField,
    MergedInput,
    MergedType,
    MergedValue,
    Supergraph,
)
from gateway.federation.composition.vocabulary import feature_of

_JOIN_DEFINITIONS = """\
directive @join__enumValue(graph: join__Graph!) repeatable on ENUM_VALUE

directive @join__field(graph: join__Graph, requires: join__FieldSet, provides: join__FieldSet, type: String, \
external: Boolean, override: String, usedOverridden: Boolean{label}) repeatable on FIELD_DEFINITION | \
INPUT_FIELD_DEFINITION

directive @join__graph(name: String!, url: String!) on ENUM_VALUE

directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE

directive @join__type(graph: join__Graph!, key: join__FieldSet, extension: Boolean! = false, resolvable: Boolean! = \
true, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE | UNION | ENUM | INPUT_OBJECT | SCALAR

directive @join__unionMember(graph: join__Graph!, member: String!) repeatable on UNION

directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA"""

_JOIN_TYPES = """\
scalar join__FieldSet

scalar link__Import

enum link__Purpose {
  \"\"\"
  `SECURITY` features are needed to resolve fields securely.
  \"\"\"
  SECURITY

  \"\"\"
  `EXECUTION` features are needed to execute operations.
  \"\"\"
  EXECUTION
}"""

_ROOTS = ("query", "mutation", "subscription")


def print_supergraph(supergraph: Supergraph) -> str:
    """The SDL, types in alphabetical order, ending with a newline."""
    features = _used_features(supergraph)
    uses_labels = any(
        join.override_label
        for each in supergraph.types.values()
        for merged in each.fields.values()
        for join in merged.joins
    )
    blocks = [_schema(supergraph, features, "v0.4" if uses_labels else "v0.3")]
    for name in features:
        bodies = FEATURES[name].definitions(name)
        blocks += [_definition(each, body) for each, body in bodies.items()]
        blocks += [f"scalar {name}__{scalar}" for scalar in FEATURES[name].scalars]
    blocks += [_directive_def(each) for _, each in sorted(supergraph.directive_defs.items())]
    blocks.append(_JOIN_DEFINITIONS.replace("{label}", ", overrideLabel: String" if uses_labels else ""))
    blocks += [_graphs(supergraph), _JOIN_TYPES]
    blocks += [_type(each) for name, each in sorted(supergraph.types.items()) if name not in BUILT_IN_SCALARS]
    return "\n\n".join(blocks) + "\n"


def _used_features(supergraph: Supergraph) -> list[str]:
    applied = {each.name for each in _every_directive(supergraph) if each.is_known}
    used = {feature_of(name) for name in applied}
    return [name for name in FEATURES if name in used]


def _every_directive(supergraph: Supergraph) -> Iterable[Applied]:
    yield from supergraph.schema_directives
    for each in supergraph.types.values():
        yield from each.directives
        for merged in each.fields.values():
            yield from merged.directives
        for value in each.values.values():
            yield from value.directives
    for _, merged_input in supergraph.inputs():
        yield from merged_input.directives


def _schema(supergraph: Supergraph, features: list[str], join: str) -> str:
    host = "https://specs.apollo.dev"
    lines = [f'@link(url: "{host}/link/v1.0")', f'@link(url: "{host}/join/{join}", for: EXECUTION)']
    for name in features:
        feature = FEATURES[name]
        # A directive called like its feature needs no import; the others do.
        imports = [_string("@" + each) for each in feature.directives if each != name]
        purpose = f", for: {feature.purpose}" if feature.purpose else ""
        extra = f", import: [{', '.join(imports)}]" if imports else ""
        lines.append(f'@link(url: "{host}/{name}/{feature.version}"{purpose}{extra})')
    for link in supergraph.links:
        imports = [
            _string(name) if name == local else f"{{name: {_string(name)}, as: {_string(local)}}}"
            for local, name in link.imports
        ]
        alias = f", as: {_string(link.namespace)}" if link.namespace else ""
        lines.append(f"@link(url: {_string(link.url)}{alias}, import: [{', '.join(imports)}])")
    lines += [f"@{each.text()}" for each in supergraph.schema_directives]
    roots = [f"  {each}: {each.capitalize()}" for each in _ROOTS if each.capitalize() in supergraph.types]
    return "\n".join(
        [
            *_description(supergraph.schema_description, ""),
            "schema",
            *("  " + line for line in lines),
            "{",
            *roots,
            "}",
        ]
    )


def _graphs(supergraph: Supergraph) -> str:
    values = [
        f"  {each.graph} @join__graph(name: {_string(each.name)}, url: {_string(each.url)})"
        for each in supergraph.schemas
    ]
    return "\n".join(["enum join__Graph {", *values, "}"])


def _definition(name: str, body: str) -> str:
    return f"directive @{name}{body}" if body.startswith("(") else f"directive @{name} {body}"


def _directive_def(definition: DirectiveDef) -> str:
    args = ", ".join(_input(each) for each in definition.args.values())
    repeatable = " repeatable" if definition.is_repeatable else ""
    locations = " | ".join(sorted(definition.locations))
    text = f"directive @{definition.name}{f'({args})' if args else ''}{repeatable} on {locations}"
    return "\n".join([*_description(definition.description, ""), text])


def _type(merged: MergedType) -> str:
    lines = [*_description(merged.description, "")]
    keyword = {Kind.INPUT_OBJECT: "input", Kind.OBJECT: "type"}.get(merged.kind, merged.kind.lower())
    implements = f" implements {' & '.join(merged.implements)}" if merged.implements else ""
    lines.append(f"{keyword} {merged.name}{implements}")
    for interface, graphs in merged.implements.items():
        lines += [f'  @join__implements(graph: {graph}, interface: "{interface}")' for graph in graphs]
    lines += ["  " + _join_type(each) for each in merged.joins]
    for member, graphs in merged.members.items():
        lines += [f'  @join__unionMember(graph: {graph}, member: "{member}")' for graph in graphs]
    lines += [f"  @{each.text()}" for each in merged.directives]
    if merged.members:
        lines.append(f" = {' | '.join(merged.members)}")
    parts = [
        *(line for each in merged.fields.values() for line in _field(each)),
        *(line for each in merged.inputs.values() for line in _input_field(each)),
        *(line for each in merged.values.values() for line in _value(each)),
    ]
    return "\n".join([*lines, "{", *parts, "}"] if parts else lines)


def _join_type(join: JoinType) -> str:
    args = [f"graph: {join.graph}"]
    if join.key is not None:
        args.append(f"key: {_string(join.key)}")
    if join.is_extension:
        args.append("extension: true")
    if not join.is_resolvable:
        args.append("resolvable: false")
    if join.is_interface_object:
        args.append("isInterfaceObject: true")
    return f"@join__type({', '.join(args)})"


def _join_field(join: JoinField) -> str:
    args = [] if join.graph is None else [f"graph: {join.graph}"]
    for name, text in (("requires", join.requires), ("provides", join.provides), ("type", join.type)):
        if text is not None:
            args.append(f"{name}: {_string(text)}")
    if join.is_external:
        args.append("external: true")
    if join.override is not None:
        args.append(f"override: {_string(join.override)}")
    if join.is_used_overridden:
        args.append("usedOverridden: true")
    if join.override_label is not None:
        args.append(f"overrideLabel: {_string(join.override_label)}")
    return f"@join__field({', '.join(args)})" if args else "@join__field"


def _field(merged: MergedField) -> list[str]:
    args = list(merged.args.values())
    if any(arg.description for arg in args):
        spread = [line for arg in args for line in (*_description(arg.description, "    "), "    " + _input(arg))]
        head = [f"  {merged.name}(", *spread, f"  ): {merged.type}"]
    else:
        inline = f"({', '.join(_input(arg) for arg in args)})" if args else ""
        head = [f"  {merged.name}{inline}: {merged.type}"]
    head[-1] += _suffix(merged.joins, merged.directives)
    return [*_description(merged.description, "  "), *head]


def _input_field(merged: MergedInput) -> list[str]:
    return [*_description(merged.description, "  "), "  " + _input(merged)]


def _value(merged: MergedValue) -> list[str]:
    joins = "".join(f" @join__enumValue(graph: {graph})" for graph in merged.graphs)
    return [*_description(merged.description, "  "), f"  {merged.name}{joins}{_suffix([], merged.directives)}"]


def _input(value: MergedInput | InputValue) -> str:
    default = f" = {value.default}" if value.default is not None else ""
    joins = value.joins if isinstance(value, MergedInput) else []
    directives = value.directives if isinstance(value, MergedInput) else ()
    return f"{value.name}: {value.type}{default}{_suffix(joins, directives)}"


def _suffix(joins: list[JoinField], directives: Iterable[Applied]) -> str:
    return "".join(f" {_join_field(each)}" for each in joins) + "".join(f" @{each.text()}" for each in directives)


def _description(text: str | None, indent: str) -> list[str]:
    if not text:
        return []
    return [indent + line if line else "" for line in print_block_string(text).split("\n")]


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
