"""Which features a supergraph declares with ``@link`` or ``@core``, and the refusal of those not supported.

Specifications: https://specs.apollo.dev/link/v1.0 and https://specs.apollo.dev/join/v0.3.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from graphql import ConstDirectiveNode, DirectiveNode, DocumentNode, SchemaDefinitionNode, SchemaExtensionNode
from graphql.utilities import value_from_ast_untyped

from gateway.access.requirement import ARGUMENTS
from gateway.federation.errors import SupergraphError, UnsupportedFeature

_JOIN_VERSIONS = frozenset({"v0.2", "v0.3", "v0.4", "v0.5"})
_SUPPORTED = frozenset({"link", "core", "join", "inaccessible", "tag", *ARGUMENTS})
_ACCESS_VERSIONS = frozenset({"v0.1"})


@dataclass(frozen=True, slots=True)
class Feature:
    """One linked specification.

    Attributes:
        name: its own name, from the url.
        prefix: what its elements are called by here; differs from the name after ``as:``.
        imports: imported elements, own name to name here.
    """

    name: str
    version: str
    prefix: str
    purpose: str | None
    imports: Mapping[str, str]

    def directive(self, name: str) -> str:
        """The name here of one of its directives."""
        imported = self.imports.get(f"@{name}")
        if imported:
            return imported.removeprefix("@")
        return self.prefix if name == self.name else f"{self.prefix}__{name}"


def arguments_of(directive: DirectiveNode | ConstDirectiveNode) -> dict[str, Any]:
    """Arguments of a directive as plain values; enum values become strings."""
    return {argument.name.value: value_from_ast_untyped(argument.value) for argument in directive.arguments or ()}


def read_features(document: DocumentNode) -> dict[str, Feature]:
    """Linked features by their own name.

    Raises:
        SupergraphError: nothing links the join specification, so this is not a supergraph.
        UnsupportedFeature: a version of join, or a feature needed for execution or security, is not supported.
    """
    features = {feature.name: feature for feature in map(_feature, _link_directives(document)) if feature}
    join = features.get("join")
    if join is None:
        msg = "This is not a supergraph: its schema does not link https://specs.apollo.dev/join."
        raise SupergraphError(msg)
    if join.version not in _JOIN_VERSIONS:
        feature = f"join {join.version}"
        raise UnsupportedFeature(feature, "compose it again with Federation 2 (join v0.2 to v0.5)")
    for feature_ in features.values():
        if feature_.purpose and feature_.name not in _SUPPORTED:
            name = f"the feature {feature_.name!r} (for: {feature_.purpose})"
            raise UnsupportedFeature(name, "remove it from the subgraphs and compose again")
        if feature_.name in ARGUMENTS and feature_.version not in _ACCESS_VERSIONS:
            name = f"the feature {feature_.name!r} {feature_.version}"
            raise UnsupportedFeature(name, "compose it again with v0.1 of it")
    return features


def _link_directives(document: DocumentNode) -> Iterable[ConstDirectiveNode]:
    for definition in document.definitions:
        if isinstance(definition, SchemaDefinitionNode | SchemaExtensionNode):
            for directive in definition.directives or ():
                values = arguments_of(directive)
                if "url" in values or "feature" in values:
                    yield directive


def _feature(directive: ConstDirectiveNode) -> Feature | None:
    values = arguments_of(directive)
    url = values.get("url") or values.get("feature")
    if not isinstance(url, str):
        return None
    segments = [segment for segment in urlsplit(url).path.split("/") if segment]
    if len(segments) < 2:
        return None
    name, version = segments[-2:]
    imports: dict[str, str] = {}
    for entry in values.get("import") or ():
        if isinstance(entry, str):
            imports[entry] = entry
        elif isinstance(entry, dict) and isinstance(entry.get("name"), str):
            imports[entry["name"]] = entry.get("as") or entry["name"]
    return Feature(name, version, values.get("as") or name, values.get("for"), imports)
