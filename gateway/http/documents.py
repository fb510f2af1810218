"""Documents, parsed and validated once: the text is the key, the schema is the owner.

GraphQL specification, §5 Validation and §6.1 Executing Requests (GetOperation).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ASTValidationRule

from gateway.http.errors import LimitExceeded, OperationUnresolved, ParseFailed, RequestError, ValidationFailed
from gateway.http.operation_figures import OperationFigures
from gateway.http.tokens import Tokens

if TYPE_CHECKING:
    from gateway.http.cost import CostLimit

LimitCheck: TypeAlias = Callable[[Tokens], None]
"""Raises a `RequestError` for a document that is not to be parsed."""

# graphql-core ends the message of its own limit (nesting) so, and no other syntax error's.
_ABORTED = "Parsing aborted."
# All that it says when its budget or the stack ends before validation does.
_VALIDATION_ABORTED = "Validation aborted."
_SUGGESTION = " Did you mean "
_TOO_LARGE = "The document is too large to validate: too many fields to compare, or too long a chain of fragments."


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a document, ready to be planned."""

    name: str | None
    kind: OperationType
    node: OperationDefinitionNode
    figures: OperationFigures = field(default_factory=OperationFigures, compare=False, repr=False)
    """What became of the requests for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A document that is valid for the schema of its cache. Compared and hashed by identity.

    Attributes:
        text: the source as the client sent it.
        operations: in document order.
        fragments: by name.
        prepared: what whoever executes it has made of it, by keys of theirs; gone with the document.
    """

    text: str
    ast: DocumentNode
    operations: tuple[Operation, ...]
    fragments: Mapping[str, FragmentDefinitionNode]
    prepared: dict[Any, Any] = field(default_factory=dict, repr=False)

    def operation(self, name: str | None = None) -> Operation:
        """GetOperation: the operation of that name, or the only one; raises `OperationUnresolved`."""
        if name is not None:
            for operation in self.operations:
                if operation.name == name:
                    return operation
            raise OperationUnresolved(f"Unknown operation named {name!r}.")
        if not self.operations:
            raise OperationUnresolved("The document has no operation.")
        if len(self.operations) > 1:
            raise OperationUnresolved("The document has several operations: say which one in operationName.")
        return self.operations[0]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why a document was refused. An error is made of it each time: a raised one would keep its frames."""

    kind: type[RequestError]
    errors: tuple[Mapping[str, Any], ...]

    def error(self) -> RequestError:
        return self.kind(errors=self.errors)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache did since it was made, and what it holds now."""

    hits: int
    misses: int
    entries: int
    source_bytes: int


class DocumentCache:
    """One parse and one validation for each distinct document of one schema; refusals are remembered too.

    Least recently used documents leave first. A syntax tree takes about 250 times the memory of its source, so the
    default of `max_source_bytes` stands for about 130 MB. Used from one event loop; does no I/O.

    Args:
        schema: what documents are validated against. A new schema needs a new cache.
        max_entries: documents held at most.
        max_source_bytes: of UTF-8, over all documents held; a larger document is not held.
        max_tokens: in one document, comments included; more is refused. None counts none.
        max_document_chars: of one document's text; more is refused before it is read. Time to find tokens grows
            with the text, so this bounds what a document of few tokens costs.
        max_long_chars: of its strings, comments, and whatever else is longer than a name; more is refused before it is
            parsed, which takes 0.25 µs for each.
        introspection: False refuses `__schema` and `__type`.
        suggestions: False leaves "Did you mean …?" out of messages, which would otherwise tell of the schema.
        check_limits: see `LimitCheck`.
        extra_rules: validation rules beside those of the specification.
        costs: what operations on the schema cost, for whoever asks before they are executed; None where nobody does.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        max_entries: int = 1_000,
        max_source_bytes: int = 512 * 1024,
        max_tokens: int | None = 5_000,
        max_document_chars: int = 128 * 1024,
        max_long_chars: int = 20_000,
        introspection: bool = False,
        suggestions: bool = False,
        check_limits: LimitCheck | None = None,
        extra_rules: Sequence[type[ASTValidationRule]] = (),
        costs: "CostLimit | None" = None,
    ) -> None:
        self.schema = schema
        self.costs = costs
        self._max_entries = max_entries
        self._max_tokens = max_tokens
        self._max_document_chars = max_document_chars
        self._max_long_chars = max_long_chars
        self._suggestions = suggestions
        self._check_limits = check_limits
        hidden = () if introspection else (NoSchemaIntrospectionCustomRule,)
        self._rules = (*specified_rules, *hidden, *extra_rules)
        # Each entry is stored with its size, so that the source is encoded once.
        self._entries: LRUCache[str, tuple[Document | _Refusal, int]] = LRUCache(
            max_source_bytes, getsizeof=lambda entry: entry[1]
        )
        self._hits = 0
        self._misses = 0

    def get(self, text: str) -> Document:
        """The document of this text.

        Raises:
            LimitExceeded: too long, too many tokens, nested too deeply, too large to validate, or as `check_limits`
                says.
            ParseFailed: not GraphQL.
            ValidationFailed: does not fit the schema.
        """
        if len(text) > self._max_document_chars:
            raise LimitExceeded(f"The document is longer than {self._max_document_chars} characters.")
        held = self._entries.get(text)
        if held is None:
            self._misses += 1
            entry = self._prepare(text)
            self._keep(text, entry)
        else:
            self._hits += 1
            entry = held[0]
        if isinstance(entry, _Refusal):
            raise entry.error()
        return entry

    def holds(self, text: str) -> bool:
        """Whether it need not be parsed."""
        return text in self._entries

    def info(self) -> CacheInfo:
        """Counters for metrics."""
        return CacheInfo(self._hits, self._misses, len(self._entries), int(self._entries.currsize))

    def held(self) -> list[Document]:
        """The documents that are in it now."""
        return [document for document, _ in self._entries.values() if isinstance(document, Document)]

    def _keep(self, text: str, entry: Document | _Refusal) -> None:
        size = len(text.encode())
        if size > self._entries.maxsize:
            return
        while len(self._entries) >= self._max_entries:
            self._entries.popitem()
        self._entries[text] = (entry, size)

    def _prepare(self, text: str) -> Document | _Refusal:
        tokens = Tokens(text, self._max_tokens)
        if (too_much := self._too_much(tokens)) is not None:
            return _Refusal(LimitExceeded, (too_much,))
        if self._check_limits is not None:
            try:
                self._check_limits(tokens)
            except RequestError as error:
                return _Refusal(type(error), error.errors)
        try:
            ast = parse(text)
        except GraphQLSyntaxError as error:
            kind = LimitExceeded if error.description.endswith(_ABORTED) else ParseFailed
            return _Refusal(kind, (_entry(error),))
        errors = validate(self.schema, ast, self._rules, hide_suggestions=not self._suggestions)
        if [error.message for error in errors] == [_VALIDATION_ABORTED]:
            return _Refusal(LimitExceeded, ({"message": _TOO_LARGE},))
        if errors:
            return _Refusal(ValidationFailed, tuple(self._told(errors)))
        operations = [d for d in ast.definitions if isinstance(d, OperationDefinitionNode)]
        return Document(
            text=text,
            ast=ast,
            operations=tuple(Operation(o.name.value if o.name else None, o.operation, o) for o in operations),
            fragments={d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)},
        )

    def _told(self, errors: Sequence[GraphQLError]) -> list[Mapping[str, Any]]:
        """An entry for each thing that is wrong, with all its places: a small document makes no large answer."""
        entries: dict[str, dict[str, Any]] = {}
        for error in errors:
            # hide_suggestions leaves some: they are of the client's own words, and told as little
            message = error.message if self._suggestions else error.message.partition(_SUGGESTION)[0]
            entry = entries.setdefault(message, {"message": message})
            for at in error.locations or ():
                entry.setdefault("locations", []).append({"line": at.line, "column": at.column})
        return list(entries.values())

    def _too_much(self, tokens: Tokens) -> Mapping[str, Any] | None:
        """What there is too much of for a parse."""
        if not tokens.complete:
            allowed = f"{self._max_tokens:,}"
            message = f"The document has more than {allowed} tokens; max_tokens allows {allowed}."
            return {"message": message, "extensions": {"limit": "max_tokens"}}
        if tokens.long_chars > self._max_long_chars:
            message = f"The document has more than {self._max_long_chars:,} characters in strings and comments."
            return {"message": f"{message} Send long values as variables."}
        return None


def _entry(error: GraphQLError) -> Mapping[str, Any]:
    formatted: dict[str, Any] = {"message": error.message}
    if error.locations:
        formatted["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    return formatted
