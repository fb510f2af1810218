"""The operations that clients are known to send: read from a manifest, held against what they do send.

The manifest is Apollo's (`apollo-persisted-query-manifest`, version 1) or a mapping of identifiers to texts.
An operation is on the list if its text is, whatever its whitespace, commas and comments.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog
from cachetools import LRUCache
from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, parse
from graphql.utilities import strip_ignored_characters

from clients.clock import Clock
from gateway.http.documents import Document
from gateway.http.errors import OperationNotListed
from gateway.persisting import SafelistConfig

FORMAT = "apollo-persisted-query-manifest"
VERSION = 1
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_MAX_REASONS = 20
_MAX_TOLD = 1_000
_MAX_NAME = 100
# Other spellings of listed operations, and as many of others: this much of text is remembered.
_REMEMBERED_BYTES = 4_000_000
_OVERHEAD_BYTES = 300
# A text that is this much longer than the longest on the list is none of them, however it is laid out.
_LAYOUT = 4


class ManifestError(Exception):
    """A manifest cannot be used. `reasons` has each with the place it is at, 20 at most."""

    def __init__(self, path: Path, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__(f"{path}: the manifest cannot be used\n" + "\n".join(f"  {reason}" for reason in reasons))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The operations of one manifest.

    Attributes:
        texts: by identifier.
        exact: the same texts.
        bare: the same without what GraphQL ignores.
        longest: of the texts, in characters.
    """

    texts: Mapping[str, str]
    exact: frozenset[str]
    bare: frozenset[str]
    longest: int


def bare_id(identifier: str) -> str:
    """An identifier as it is looked up: a SHA-256 without its prefix."""
    return identifier.removeprefix("sha256:")


def read_manifest(path: Path) -> Manifest:
    """A manifest, with each of its operations checked.

    Raises:
        ManifestError: with what is wrong with it.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ManifestError(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ManifestError(path, ["is not UTF-8 text"]) from error
    try:
        content = json.loads(source, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise ManifestError(path, [f"is not JSON: {error}"]) from error
    texts: dict[str, str] = {}
    reasons: list[str] = []
    for found in _entries(content):
        if isinstance(found, str):
            reasons.append(found)
        elif found.wrong:
            reasons += [f"{found.at}{reason}" for reason in found.wrong]
        elif bare_id(found.identifier) in texts:
            reasons.append(f"{found.at}: the identifier {found.identifier!r} is there twice")
        else:
            texts[bare_id(found.identifier)] = found.text
        if len(reasons) >= _MAX_REASONS:
            break
    if reasons:
        raise ManifestError(path, reasons[:_MAX_REASONS])
    exact = frozenset(texts.values())
    bare = frozenset(map(strip_ignored_characters, exact))
    return Manifest(texts, exact, bare, max(map(len, exact), default=0))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every key, also the repeated ones."""


@dataclass(frozen=True, slots=True)
class _Entry:
    at: str
    identifier: str
    text: str
    wrong: list[str]


def _entries(content: object) -> Iterator[_Entry | str]:
    """The operations of a manifest, and what is wrong outside of them."""
    if not isinstance(content, _Pairs):
        yield "expected a JSON object"
        return
    fields = dict(content)
    if "format" not in fields and "operations" not in fields:
        for identifier, text in content:
            at = f"[{identifier!r}]"
            if isinstance(text, str):
                yield _Entry(at, identifier, text, _wrong(_parsed(text), ": ") + _wrong_id(identifier, text, ": "))
            else:
                yield f"{at}: expected the text of a document, found {_kind(text)}"
        return
    if fields.get("format") != FORMAT or fields.get("version") != VERSION:
        found = f"{fields.get('format')!r}, version {fields.get('version')!r}"
        yield f'expected "format": "{FORMAT}", "version": {VERSION}; found {found}'
        return
    operations = fields.get("operations")
    if not isinstance(operations, list) or isinstance(operations, _Pairs):
        yield f"operations: expected a list, found {_kind(operations)}"
        return
    for index, entry in enumerate(operations):
        yield _operation(f"operations[{index}]", entry)


def _operation(at: str, entry: object) -> _Entry | str:
    if not isinstance(entry, _Pairs):
        return f"{at}: expected an object, found {_kind(entry)}"
    fields = dict(entry)
    for key in ("id", "name", "type", "body"):
        if not isinstance(fields.get(key), str):
            return f"{at}.{key}: expected text, found {_kind(fields.get(key))}"
    document = _parsed(fields["body"])
    wrong = _wrong(document, ".body: ") or _wrong_id(fields["id"], fields["body"], ".id: ")
    if isinstance(document, DocumentNode):
        wrong += _wrong_operation(fields, document)
    return _Entry(at, fields["id"], fields["body"], wrong)


def _parsed(text: str) -> DocumentNode | str:
    """The document, or why there is none."""
    try:
        return parse(text)
    except GraphQLSyntaxError as error:
        where = f"line {error.locations[0].line}: " if error.locations else ""
        return f"{where}{error.message}"
    except RecursionError:
        return "is nested too deeply"


def _wrong(document: DocumentNode | str, at: str) -> list[str]:
    return [f"{at}{document}"] if isinstance(document, str) else []


def _wrong_id(identifier: str, text: str, at: str) -> list[str]:
    if not identifier:
        return [f"{at}an identifier is empty"]
    stated = _SHA256.fullmatch(identifier)
    actual = hashlib.sha256(text.encode()).hexdigest()
    if stated is not None and stated[1] != actual:
        return [f"{at}the hash is not that of the text, which is {actual}"]
    return []


def _wrong_operation(fields: Mapping[str, str], document: DocumentNode) -> list[str]:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if len(operations) != 1:
        return [f".body: expected one operation, found {len(operations)}"]
    (operation,) = operations
    wrong = []
    name = operation.name.value if operation.name else ""
    if fields["name"] != name:
        wrong.append(f".name: says {fields['name']!r}; the operation's name is {name!r}")
    if fields["type"] != operation.operation.value:
        wrong.append(f".type: says {fields['type']!r}; the operation is a {operation.operation.value}")
    return wrong


def _kind(value: object) -> str:
    kinds = {_Pairs: "an object", list: "a list", str: "text", type(None): "nothing", bool: "true or false"}
    return kinds.get(type(value), "a number")


@dataclass(frozen=True, slots=True)
class _Listed:
    """Whether a spelling is listed, and what it takes to remember that."""

    listed: bool
    size: int


class Safelist:
    """The manifest in force, kept current; an async context manager.

    A newer manifest that cannot be used is refused: logged, shown by `trouble`, and the old one stays in force.

    Args:
        config: names the file.
        clock: all waiting is on it.

    Raises:
        ManifestError: the manifest cannot be used.
    """

    def __init__(self, config: SafelistConfig, clock: Clock) -> None:
        self._path = Path(config.file)
        self._enforced = config.mode == "enforce"
        self._poll_interval_s = config.poll_interval_s
        self._clock = clock
        self._log = structlog.get_logger("safelist")
        self._seen = _version(self._path)
        self._trouble = ""
        self._polling: asyncio.Task[None] | None = None
        self._begin(read_manifest(self._path))

    async def __aenter__(self) -> Self:
        """Begin to look for newer manifests."""
        if self._poll_interval_s is not None:
            self._polling = asyncio.create_task(self._poll(self._poll_interval_s), name="breakwater safelist")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    def trouble(self) -> str:
        """Why the newest manifest is not in force; empty when it is."""
        return self._trouble

    def text(self, identifier: str) -> str | None:
        """The text of that identifier, without a prefix; None where the manifest has none."""
        return self._manifest.texts.get(identifier)

    def admit(self, text: str) -> bool:
        """Whether a text is listed.

        Raises:
            OperationNotListed: it is not, and the list is enforced.
        """
        if text in self._manifest.exact:
            return True
        listed = self._spellings.get(text)
        if listed is None:
            listed = _Listed(self._is_listed(text), len(text) + _OVERHEAD_BYTES)
            if listed.size <= self._spellings.maxsize:
                self._spellings[text] = listed
        if self._enforced and not listed.listed:
            raise OperationNotListed
        return listed.listed

    def tell(self, document: Document) -> None:
        """Log a document that is not listed; each once, and a thousand in all for one manifest."""
        if len(self._told) > _MAX_TOLD:
            return
        digest = hashlib.sha256(document.text.encode()).hexdigest()
        if digest in self._told:
            return
        self._told.add(digest)
        if len(self._told) > _MAX_TOLD:
            self._log.warning("more operations are not in the safelist; no more of them are told")
            return
        names = ", ".join(operation.name or "(without a name)" for operation in document.operations)
        self._log.warning("operation not in the safelist", operation=names[:_MAX_NAME], sha256=digest)

    async def reload(self) -> bool:
        """Read the manifest if it has changed. Returns whether another one is in force now."""
        seen = _version(self._path)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            manifest = await asyncio.to_thread(read_manifest, self._path)  # thousands of documents to parse
        except ManifestError as error:
            if str(error) != self._trouble:
                self._log.error("manifest refused", error=str(error), operations=len(self._manifest.texts))
            self._trouble = str(error)
            return False
        self._begin(manifest)
        self._trouble = ""
        self._log.info("manifest replaced", operations=len(manifest.texts))
        return True

    def _begin(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._spellings: LRUCache[str, _Listed] = LRUCache(_REMEMBERED_BYTES, getsizeof=lambda entry: entry.size)
        self._told: set[str] = set()

    def _is_listed(self, text: str) -> bool:
        if len(text) > _LAYOUT * self._manifest.longest:
            return False
        try:
            return strip_ignored_characters(text) in self._manifest.bare
        except GraphQLSyntaxError:
            return False

    async def _poll(self, interval_s: float) -> None:
        while True:
            await self._clock.sleep(interval_s)
            await self.reload()


def _version(path: Path) -> tuple[int, ...]:
    """What changes when the file does; empty where there is none to read."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)  # renaming keeps the time
