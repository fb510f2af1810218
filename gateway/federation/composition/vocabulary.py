"""What the names in one document mean: which of its directives and types are federation's, under which spelling.

A Federation 1 document has a fixed vocabulary; a later one gets it from ``@link``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from graphql import (
    ConstDirectiveNode,
    DefinitionNode,
    DocumentNode,
    SchemaDefinitionNode,
    SchemaExtensionNode,
)
from graphql.utilities import value_from_ast_untyped

from gateway.federation.composition import specs
from gateway.federation.composition.errors import Problems
from gateway.federation.composition.links import FEDERATION_IDENTITY, LINK_IDENTITY, Link, LinkError, read_link

_FEATURE_OF = {directive: name for name, feature in specs.FEATURES.items() for directive in feature.directives}
# They say how fields are resolved, with or without a purpose in the link.
_NEEDS_SUPPORT = ("connect", "source")
_SPECS_HOST = "https://specs.apollo.dev/"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``directives`` and ``scalars`` map names of the document to those of the specification, without ``@``.

    ``link_name`` is the spelling of ``@link``, None when the document links nothing.
    """

    version: tuple[int, int]
    links: tuple[Link, ...]
    directives: dict[str, str]
    scalars: dict[str, str]
    link_name: str | None

    def federation_definitions(self) -> Iterator[str]:
        """SDL of everything the document may use without defining it."""
        spelled = {spec: local for local, spec in self.scalars.items()}
        for local, spec in self.directives.items():
            version = self.version if self.version >= (2, 0) or spec in specs.FED1_DIRECTIVES else specs.LATEST
            body = specs.definition(spec, version) or specs.FEDERATION[spec][-1].body
            names = {scalar: spelled.get(scalar, f"federation__{scalar}") for scalar in specs.SCALARS}
            yield f"directive @{local}{body.format(**names)}" if body.startswith("(") else f"directive @{local} {body}"
        for local in self.scalars:
            yield f"scalar {local}"
        if self.link_name is not None:
            types = {"Import": f"{self.link_name}__Import", "Purpose": f"{self.link_name}__Purpose"}
            yield f"directive @{self.link_name}{specs.LINK_DEFINITION.format(**types)}"
            yield f"scalar {types['Import']} enum {types['Purpose']} {{ SECURITY EXECUTION }}"

    def owns_type(self, name: str) -> bool:
        """Whether the name is that of a specification's type, or of what servers add to be a subgraph."""
        link_types = () if self.link_name is None else (f"{self.link_name}__Import", f"{self.link_name}__Purpose")
        return name in self.scalars or name in link_types or name in specs.MACHINERY_TYPES


def schema_nodes(document: DocumentNode) -> Iterator[SchemaDefinitionNode | SchemaExtensionNode]:
    """The schema definition and its extensions."""
    for node in document.definitions:
        if isinstance(node, SchemaDefinitionNode | SchemaExtensionNode):
            yield node


def read_vocabulary(name: str, document: DocumentNode, problems: Problems) -> Vocabulary:
    """The vocabulary of a document, as far as its links can be read; what cannot be read is recorded."""
    directives = [each for node in schema_nodes(document) for each in node.directives or ()]
    link_name = _link_name(directives)
    links = [
        link
        for each in directives
        if each.name.value == link_name and (link := _read(name, each, problems)) is not None
    ]
    federation = next((link for link in links if link.is_federation), None)
    version = _version(name, federation, problems)
    known: dict[str, str] = {}
    scalars: dict[str, str] = {}
    if federation is None:
        known = {each: each for each in specs.FED1_DIRECTIVES}
        scalars = {specs.FED1_FIELD_SET: "FieldSet"}
    else:
        for spec in specs.FEDERATION:
            if specs.definition(spec, version) is not None:
                known[federation.local_name("@" + spec)[1:]] = spec
        for scalar, since in specs.SCALARS.items():
            if since <= version:
                scalars[federation.local_name(scalar)] = scalar
        _check_imports(name, federation, version, problems)
    for link in links:
        _add_feature(name, link, known, scalars, problems)
    return Vocabulary(version, tuple(links), known, scalars, link_name if links else None)


def _link_name(directives: list[ConstDirectiveNode]) -> str:
    # The specification may link itself under another name: @lk(url: ".../link/v1.0", as: "lk").
    for each in directives:
        args = {arg.name.value: value_from_ast_untyped(arg.value) for arg in each.arguments or ()}
        if str(args.get("url", "")).startswith(LINK_IDENTITY + "/") and args.get("as", "link") == each.name.value:
            return each.name.value
    return "link"


def _read(subgraph: str, node: ConstDirectiveNode, problems: Problems) -> Link | None:
    args = {arg.name.value: value_from_ast_untyped(arg.value) for arg in node.arguments or ()}
    line = node.loc.start_token.line if node.loc else 0
    url, alias, purpose = args.get("url"), args.get("as"), args.get("for")
    if not isinstance(url, str) or not isinstance(alias, str | None):
        message = f"@{node.name.value} at line {line} needs a url, and a name as a string if it has one"
        problems.error("INVALID_LINK_DIRECTIVE_USAGE", message, subgraphs=[subgraph])
        return None
    try:
        link = read_link(url, alias, args.get("import"), purpose if isinstance(purpose, str) else None)
    except LinkError as error:
        code = "INVALID_LINK_IDENTIFIER" if str(error).startswith('"') else "INVALID_LINK_DIRECTIVE_USAGE"
        problems.error(code, f"@{node.name.value} at line {line}: {error}", subgraphs=[subgraph])
        return None
    if link.purpose and not link.identity.startswith(_SPECS_HOST):
        message = f"@{node.name.value} at line {line} demands support for {link.identity}, which is not known here"
        problems.error("UNSUPPORTED_LINKED_FEATURE", message, subgraphs=[subgraph])
    return link


def _version(subgraph: str, federation: Link | None, problems: Problems) -> tuple[int, int]:
    if federation is None:
        return (1, 0)
    version = federation.version
    if version is None or version[0] != 2 or version > specs.LATEST:
        latest = "v{}.{}".format(*specs.LATEST)
        message = f"{federation.url} is not a version known here; the latest is {latest}"
        problems.error("UNKNOWN_FEDERATION_LINK_VERSION", message, subgraphs=[subgraph])
        return specs.LATEST
    return version


def _check_imports(subgraph: str, link: Link, version: tuple[int, int], problems: Problems) -> None:
    for spec in link.imports.values():
        is_known = specs.definition(spec[1:], version) is not None if spec.startswith("@") else spec in specs.SCALARS
        if is_known or spec == "@link":
            continue
        since = specs.since(spec[1:])
        advice = (
            f"Link version {since[0]}.{since[1]} or later."
            if since
            else 'Correct the name; names of directives start with "@".'
        )
        message = f'{link.url} has no element "{spec}" to import'
        problems.error("INVALID_LINK_DIRECTIVE_USAGE", message, subgraphs=[subgraph], hint=advice)


def _add_feature(subgraph: str, link: Link, known: dict[str, str], scalars: dict[str, str], problems: Problems) -> None:
    """Take in a specification such as tag that is linked by itself instead of through federation."""
    if link.identity in {FEDERATION_IDENTITY, LINK_IDENTITY} or not link.identity.startswith(_SPECS_HOST):
        return
    feature = specs.FEATURES.get(link.name)
    if feature is None:
        if link.purpose or link.name in _NEEDS_SUPPORT:
            message = f"{link.url} is not known here, and leaving it out would change what the subgraph means"
            problems.error("UNSUPPORTED_LINKED_FEATURE", message, subgraphs=[subgraph])
        return
    for each in feature.directives:
        known[link.local_name("@" + each)[1:]] = each
    for scalar in feature.scalars:
        scalars[link.local_name(scalar)] = scalar


def feature_of(directive: str) -> str | None:
    """The feature that carries a known directive into the supergraph."""
    return _FEATURE_OF.get(directive)


def line_of(node: DefinitionNode | ConstDirectiveNode) -> int | None:
    """Where a node starts, counted from 1."""
    return node.loc.start_token.line if node.loc else None
