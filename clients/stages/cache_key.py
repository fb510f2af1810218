"""What tells two calls apart: service, operation, variables, and everything the answer may depend on about the caller.

Two principals never share a key unless the operation is declared public.
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


class CacheKeys:
    """Makes the keys of one service's calls."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._last: tuple[Call, bytes] | None = None
        self._operations: WeakKeyDictionary[Operation, bytes] = WeakKeyDictionary()

    def whole(self, call: Call) -> bytes:
        """The key of a call with all its variables.

        The last one is remembered: the stages of a pipeline ask for the same call one after the other.
        """
        last = self._last
        if last is not None and last[0] is call:
            return last[1]
        digest = self._digest(call, call.variables)
        self._last = (call, digest)
        return digest

    def rows(self, call: Call, keys: Sequence[Any]) -> list[bytes]:
        """The keys of a batched call's rows, one for each of `keys`; the same whichever batch a row came in."""
        batch = call.operation.batch
        if batch is None:
            raise TypeError(f"{call.operation.name} is not a batched operation")
        scope = self._digest(call, {k: v for k, v in call.variables.items() if k not in batch.names})
        return [scope + _encode(batch.normal(key)) for key in keys]

    def _digest(self, call: Call, variables: Any) -> bytes:
        operation = call.operation
        about_caller: Any = None
        if not operation.public:
            about_caller = (call.caller.principal(), self._service.varying(call.caller))
        identity = self._operations.get(operation) or self._identify(operation)
        return blake2b(_encode((variables, about_caller)), key=identity, digest_size=24).digest()

    def _identify(self, operation: Operation) -> bytes:
        """The operation by what it asks, so that a changed document never finds the answers of its predecessor."""
        route = self._service.routes.get(operation.name) or operation.rest
        document = operation.graphql.text if operation.graphql else None
        places = (operation.graphql and operation.graphql.rows, route and route.rows)
        parts = (self._service.name, operation.name, document, str(route), places, repr(operation.row))
        identity = blake2b(_encode(parts), digest_size=24).digest()
        self._operations[operation] = identity
        return identity
