"""`gateway persist`: a manifest of the operations in a folder, for `persisted_queries.safelist`."""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    NameNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    Visitor,
    parse,
    print_ast,
    specified_rules,
    validate,
    visit,
)

from gateway.app import load_config
from gateway.cli.supergraph import find_supergraph
from gateway.config import Config
from gateway.federation.supergraph import derive_api_schema, parse_supergraph
from gateway.http.documents import DocumentCache
from gateway.http.errors import RequestError
from gateway.http.safelist import FORMAT, VERSION
from gateway.runtime import documents_of, load_schema
from schema.build import core_schema

_SUFFIXES = (".graphql", ".gql")


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser("persist", help="make a safelist's manifest of a folder")
    parser.add_argument("folder", type=Path, help="folder of .graphql and .gql files, looked through to the bottom")
    parser.add_argument("--out", type=Path, help="file to write; default: standard output")
    parser.add_argument("--config", type=Path, help="gateway.yaml whose schema and limits the operations must fit")
    parser.add_argument(
        "--typename",
        action="store_true",
        help="add __typename to every selection set but the operation's own, as Apollo Client does before it sends",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the manifest, or print what is wrong with the operations.

    Raises:
        ConfigError: the configuration cannot be used.
        SchemaError: a module of its imports cannot be used.
        SourceError: the supergraph cannot be had.
        FederationError: the supergraph is not usable.
    """
    documents = None if options.config is None else _documents(load_config(options.config))
    found = _Found()
    files = sorted(path for path in options.folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    for file in files:
        found.read(file)
    operations = found.persisted(documents, typename=options.typename)
    if not files:
        found.wrong.append(f"{options.folder}: has no .graphql or .gql file")
    elif not found.wrong and not operations:
        found.wrong.append(f"{options.folder}: has no operation")
    if found.wrong:
        print("\n".join(found.wrong), file=sys.stderr)
        return 1
    text = json.dumps({"format": FORMAT, "version": VERSION, "operations": operations}, indent=2, ensure_ascii=False)
    if options.out is None:
        print(text)
        return 0
    try:
        options.out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        print(f"{options.out}: cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    number = f"{len(operations)} operation{'' if len(operations) == 1 else 's'}"
    print(f"{options.out}: written, {number} of {options.folder}", file=sys.stderr)
    return 0


def _documents(config: Config) -> DocumentCache:
    """What is valid for the schema that a configuration serves."""
    if config.served_federation is None:
        return documents_of(config, core_schema(load_schema(config)))
    return documents_of(config, derive_api_schema(parse_supergraph(find_supergraph(config).sdl)))


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation with the fragments that it needs, by name."""

    node: OperationDefinitionNode
    fragments: Sequence[FragmentDefinitionNode]

    def document(self) -> DocumentNode:
        return DocumentNode(definitions=(self.node, *self.fragments))


class _Found:
    """What the files of a folder have in them. Names are of all files together: fragments are shared.

    Attributes:
        wrong: each with file and line.
    """

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._operations: dict[str, OperationDefinitionNode] = {}
        self._fragments: dict[str, FragmentDefinitionNode] = {}

    def read(self, file: Path) -> None:
        """Take in the definitions of one file."""
        try:
            document = parse(Source(file.read_text(encoding="utf-8"), str(file)))
        except OSError as error:
            self.wrong.append(f"{file}: cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self.wrong.append(f"{file}: is not UTF-8 text")
        except RecursionError:
            self.wrong.append(f"{file}: is nested too deeply")
        except GraphQLSyntaxError as error:
            self.wrong.append(_said(error))
        else:
            for definition in document.definitions:
                self._take(definition)

    def _take(self, definition: Node) -> None:
        match definition:
            case OperationDefinitionNode(name=None):
                self.wrong.append(f"{_place(definition)}: the operation has no name; give it one")
            case OperationDefinitionNode(name=name) if name is not None:
                self._name(self._operations, "operation", name.value, definition)
            case FragmentDefinitionNode(name=name):
                self._name(self._fragments, "fragment", name.value, definition)
            case _:
                self.wrong.append(f"{_place(definition)}: expected an operation or a fragment, found a type definition")

    def _name(self, known: dict[str, Any], what: str, name: str, definition: Node) -> None:
        if name in known:
            message = f"the {what} {name} is in {_place(known[name])} too; names must differ across files"
            self.wrong.append(f"{_place(definition)}: {message}")
        else:
            known[name] = definition

    def persisted(self, documents: DocumentCache | None, *, typename: bool) -> list[dict[str, str]]:
        """The operations as a manifest has them, by name; held against what is valid."""
        found = []
        for name in sorted(self._operations):
            operation = _Operation(self._operations[name], self._needed(self._operations[name]))
            document = operation.document()
            body = print_ast(visit(document, _WithTypename()) if typename else document)
            if documents is not None and not self.wrong:
                self.wrong += _refused(operation, body, documents)
            found.append(
                {
                    "id": hashlib.sha256(body.encode()).hexdigest(),
                    "name": name,
                    "type": operation.node.operation.value,
                    "body": body,
                }
            )
        return found

    def _needed(self, operation: OperationDefinitionNode) -> list[FragmentDefinitionNode]:
        needed: dict[str, FragmentDefinitionNode] = {}
        pending: list[Node] = [operation]
        while pending:
            for spread in _spreads(pending.pop()):
                name = spread.name.value
                fragment = self._fragments.get(name)
                if fragment is None:
                    message = f"{_place(spread)}: no file has the fragment {name}"
                    if message not in self.wrong:
                        self.wrong.append(message)
                elif name not in needed:
                    needed[name] = fragment
                    pending.append(fragment)
        return [needed[name] for name in sorted(needed)]


class _Spreads(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[FragmentSpreadNode] = []

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
        self.found.append(node)


class _WithTypename(Visitor):
    def enter_selection_set(
        self, node: SelectionSetNode, _key: object, parent: object, *_: object
    ) -> SelectionSetNode | None:
        names = (each.name.value for each in node.selections if isinstance(each, FieldNode))
        if isinstance(parent, OperationDefinitionNode) or any(name.startswith("__") for name in names):
            return None
        return SelectionSetNode(selections=(*node.selections, FieldNode(name=NameNode(value="__typename"))))


def _spreads(node: Node) -> list[FragmentSpreadNode]:
    visitor = _Spreads()
    visit(node, visitor)
    return visitor.found


def _refused(operation: _Operation, body: str, documents: DocumentCache) -> Iterator[str]:
    """Why an operation would be refused: by the schema with its place in the files, by a limit with the operation's."""
    errors = validate(documents.schema, operation.document(), specified_rules)
    if errors:
        yield from map(_said, errors)
        return
    try:
        documents.get(body)
    except RequestError as error:
        yield from (f"{_place(operation.node)}: {entry['message']}" for entry in error.errors)


def _place(node: Node) -> str:
    """Where a node is: file:line."""
    return f"{node.loc.source.name}:{node.loc.start_token.line}" if node.loc else "?"


def _said(error: GraphQLError) -> str:
    if error.source is None or not error.locations:
        return error.message
    return f"{error.source.name}:{error.locations[0].line}: {error.message}"
