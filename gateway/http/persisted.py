"""Documents that clients name instead of sending: automatic persisted queries and the operations of a safelist.

An identifier is `documentId` (GraphQL over HTTP, appendix Persisted Documents) or `sha256Hash` of
`extensions.persistedQuery` (version 1, as Apollo's clients send it).
"""

import hashlib
import re
import sys
from collections.abc import Callable

from cachetools import LRUCache

from clients.clock import Clock
from clients.stores.base import Entry, Store
from gateway.http.documents import DocumentCache
from gateway.http.errors import MalformedRequest, PersistedQueryMismatch, PersistedQueryNotFound
from gateway.http.params import GraphQLParams
from gateway.http.safelist import Safelist, bare_id
from gateway.persisting import AutomaticConfig

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OVERHEAD_BYTES = 300  # a hash and its place in the cache
_SHARED_PREFIX = b"persisted:"  # all other keys of the shared store are bare digests


class AutomaticQueries:
    """Documents by their SHA-256, in memory and in a store that instances share. Holds no more than it may.

    A store that fails is one that has nothing; what is read from it is not believed, but hashed.
    """

    def __init__(self, config: AutomaticConfig, shared: Store | None, clock: Clock) -> None:
        self._texts: LRUCache[str, str] = LRUCache(config.max_bytes, getsizeof=_size)
        self._ttl_s = config.ttl_s
        self._shared = shared
        self._clock = clock

    async def text(self, digest: str) -> str | None:
        """The document of that hash; None for what is no hash."""
        text = self._texts.get(digest)
        if text is None and self._shared is not None and _SHA256.fullmatch(digest):
            (entry,) = await self._shared.get_many([_key(digest)], str)
            if entry is not None and isinstance(entry.value, str) and _digest(entry.value) == digest:
                text = entry.value
                self._hold(digest, text)
        return text

    def holds(self, digest: str, text: str) -> bool:
        """Whether this is the document of that hash, known without hashing it."""
        return self._texts.get(digest) == text

    async def keep(self, digest: str, text: str) -> None:
        """Keep a document whose hash was checked."""
        self._hold(digest, text)
        if self._shared is not None:
            now = self._clock.now()
            until = now + self._ttl_s
            await self._shared.put_many({_key(digest): Entry(text, now, until, until, until, len(text))})

    def _hold(self, digest: str, text: str) -> None:
        if _size(text) <= self._texts.maxsize:
            self._texts[digest] = text


class PersistedQueries:
    """Finds the document of a request that may name it, and refuses those that are not on the list.

    Args:
        automatic: documents that clients have sent; None keeps none.
        safelist: documents that they are known to send; None knows none.
        documents: those that are valid for the schema as it is now.
    """

    def __init__(
        self,
        automatic: AutomaticQueries | None,
        safelist: Safelist | None,
        documents: Callable[[], DocumentCache],
    ) -> None:
        self._automatic = automatic
        self._safelist = safelist
        self._documents = documents

    def troubles(self) -> dict[str, str]:
        """What is wrong just now, by what it is wrong with; an empty text for nothing."""
        return {} if self._safelist is None else {"safelist": self._safelist.trouble()}

    async def text(self, params: GraphQLParams) -> str:
        """The text of the document that a request sends or names. May wait, for the shared store only.

        Raises:
            MalformedRequest: neither, or an identifier that is none.
            PersistedQueryNotFound: it is known to nobody.
            PersistedQueryMismatch: it has another hash than is said.
            OperationNotListed: only listed ones are run.
            RequestError: it is to be kept and is not valid: as `DocumentCache.get` raises.
        """
        identifier = _identifier(params) if params.extensions or params.document_id is not None else None
        if params.query is not None:
            if params.document_id is not None:
                raise MalformedRequest('A request has "query" or "documentId", not both.')
            self._check(params.query)
            if identifier is not None and self._automatic is not None:
                await self._keep(self._automatic, identifier, params.query)
            return params.query
        if identifier is None:
            return params.require_query()  # says what is missing
        if self._safelist is not None and (text := self._safelist.text(identifier)) is not None:
            return text
        if self._automatic is not None:
            text = await self._automatic.text(identifier)
            if text is not None:
                self._check(text)
                return text
        raise PersistedQueryNotFound

    async def _keep(self, automatic: AutomaticQueries, digest: str, text: str) -> None:
        """Keep a document that came with its hash, if it is new, and a good one."""
        if automatic.holds(digest, text):
            return
        if digest != _digest(text):
            raise PersistedQueryMismatch
        self._documents().get(text)  # raises for one that is not valid, or too large
        await automatic.keep(digest, text)

    def _check(self, text: str) -> None:
        """Refuse what is not listed, or tell of it."""
        if self._safelist is not None and not self._safelist.admit(text):
            self._safelist.tell(self._documents().get(text))


def _identifier(params: GraphQLParams) -> str | None:
    """What a request names its document by; None where it does not."""
    if params.document_id is not None:
        return bare_id(params.document_id)
    found = params.extensions.get("persistedQuery")
    if found is None:
        return None
    if isinstance(found, dict) and found.get("version") == 1 and isinstance(digest := found.get("sha256Hash"), str):
        return bare_id(digest)
    raise MalformedRequest('extensions.persistedQuery must have "version": 1 and "sha256Hash", a string.')


def _size(text: str) -> int:
    return sys.getsizeof(text) + _OVERHEAD_BYTES


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key(digest: str) -> bytes:
    return _SHARED_PREFIX + bytes.fromhex(digest)
