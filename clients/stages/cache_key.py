"""What tells two calls apart: service, operation, variables, and everything the answer may depend on about the caller.

Two principals never share a key unless the operation is declared public. Values that JSON spells alike are asked for
alike, and share. A key begins with the names of service and operation, so that what is kept of them can be found.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from clients.call import Call
from clients.operation import Operation
from clients.service import Service

_encode = msgspec.json.Encoder(order="sorted").encode
_DIGEST_BYTES = 24
_PLAIN_BYTES = 40  # a row's own key this long is no shorter as a digest
_DIGESTED = b"\0"  # no JSON text begins with it
_END = b"\0"  # of a name: no name has it
_NAME_BYTES = 64  # of an operation's name; those of query plans are as long as a client likes


def key_prefix(service: str, operation: str = "") -> bytes:
    """What the keys of a service's answers begin with; with the beginning of an operation's name, of those only."""
    return service.encode() + _END + operation.encode()[:_NAME_BYTES]


class CacheKeys:
    """Makes the keys of one service's calls."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._varying = service.varying
        self._operations: WeakKeyDictionary[Operation, tuple[bytes, blake2b, bytes]] = WeakKeyDictionary()

    def whole(self, call: Call) -> bytes:
        """The key under which a call's answer is kept."""
        return self._digest(call, call.variables)

    def rows(self, call: Call, keys: Sequence[Any]) -> list[bytes]:
        """The keys of a batched call's rows, one for each of `keys`; the same whichever batch a row came in."""
        batch = call.operation.batch
        if batch is None:
            raise TypeError(f"{call.operation.name} is not a batched operation")
        scope = self._digest(call, {k: v for k, v in call.variables.items() if k not in batch.names})
        texts = list(map(_encode, batch.normals(keys)))
        if max(map(len, texts), default=0) > _PLAIN_BYTES:
            texts = [_short(text) for text in texts]
        return list(map(scope.__add__, texts))

    def in_flight(self, call: Call) -> tuple[bytes, bytes]:
        """As `whole`, without the digest: for keys that are forgotten when the call has ended."""
        identity, _, _ = self._operations.get(call.operation) or self._identify(call.operation)
        return identity, self._told_by(call, call.variables)

    def _digest(self, call: Call, variables: Any) -> bytes:
        _, begun, named = self._operations.get(call.operation) or self._identify(call.operation)
        hasher = begun.copy()
        hasher.update(self._told_by(call, variables))
        return named + hasher.digest()

    def _told_by(self, call: Call, variables: Any) -> bytes:
        """What tells calls of one operation apart."""
        if call.operation.public:
            return _encode((variables,))
        caller = call.caller
        if not self._varying:
            return _encode((variables, caller.tenant, caller.user, caller.authorization))
        headers = caller.headers
        return _encode(
            (variables, caller.tenant, caller.user, caller.authorization, [headers.get(n) for n in self._varying])
        )

    def _identify(self, operation: Operation) -> tuple[bytes, blake2b, bytes]:
        """The operation by what it asks, so that a changed document never finds the answers of its predecessor."""
        route = self._service.routes.get(operation.name) or operation.rest
        document = operation.graphql.text if operation.graphql else None
        places = (operation.graphql and operation.graphql.rows, route and route.rows)
        parts = (
            self._service.name,
            operation.name,
            document,
            str(route),
            places,
            repr(operation.row),
            operation.public,
            self._varying,
        )
        identity = blake2b(_encode(parts), digest_size=_DIGEST_BYTES).digest()
        begun = blake2b(identity, digest_size=_DIGEST_BYTES)
        named = key_prefix(self._service.name, operation.name) + _END
        found = self._operations[operation] = (identity, begun, named)
        return found


def _short(text: bytes) -> bytes:
    return text if len(text) <= _PLAIN_BYTES else _DIGESTED + blake2b(text, digest_size=_DIGEST_BYTES).digest()
