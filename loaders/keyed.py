"""Values by key from a function of one's own: a database, a computation, whatever is not a service of gateway.yaml."""

from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Any

import strawberry

from loaders.columns import COLUMN, PathOf, keys_of
from loaders.scope import LoaderScope
from loaders.scoped_loader import ScopedLoader

LoadKeys = Callable[[list[Any], LoaderScope], Awaitable[Sequence[Any]]]
"""For keys, a value each in their order: None where there is none, an exception where it cannot be had."""


def keyed(kind: Any, load: LoadKeys, /, *, max_batch_size: int = 100, window_s: float = 0.0) -> "Keyed":
    """Declare how values are loaded by key.

    ```python
    async def load_customers(ids: list[str], scope: LoaderScope) -> list[Customer | None]: ...

    customers = keyed(Customer, load_customers)
    ```

    Args:
        kind: the Strawberry type of a value.
        load: called once for the keys of a turn of the event loop, each distinct one once in a request.
        max_batch_size: keys in one call; more are split into several.
        window_s: seconds to collect keys for; 0 collects until the end of the event loop's turn.
    """
    return Keyed(kind, load, max_batch_size, window_s)


class Keyed:
    """A declared load; makes the fields that are answered by it."""

    def __init__(self, kind: Any, load: LoadKeys, max_batch_size: int, window_s: float) -> None:
        self._kind = kind
        self._load = load
        self._max_batch_size = max_batch_size
        self._window_s = window_s

    def loader(self, scope: LoaderScope) -> ScopedLoader[Any]:
        """The request's loader; the same one for every field of the request."""
        loader: ScopedLoader[Any] | None = scope.loaders.get(self)
        if loader is None:
            loader = scope.loaders[self] = _Loader(
                scope, self._load, max_size=self._max_batch_size, window_s=self._window_s
            )
        return loader

    def field(self, *, by: str, **options: Any) -> Any:
        """A field: the value whose key the parent has in its attribute `by`; null where that is None.

        `options` are those of `strawberry.field`.
        """

        async def resolve(root: Any, info: strawberry.Info) -> Any:
            key = getattr(root, by)
            return None if key is None else await self.load(key, info)

        key = attrgetter(by)

        async def column(sources: Sequence[Any], scope: LoaderScope, _: PathOf, alone: bool) -> list[Any]:
            return await self.loader(scope).load_column(keys_of(sources, key), alone=alone)

        resolve.__annotations__["return"] = self._kind | None
        metadata = {**options.pop("metadata", {}), COLUMN: column}
        return strawberry.field(resolver=resolve, metadata=metadata, **options)

    async def load(self, key: Any, info: strawberry.Info) -> Any:
        """In a resolver of one's own: the value of a key."""
        scope: LoaderScope = info.context
        return await self.loader(scope).load(key)


class _Loader(ScopedLoader[Any]):
    """Asks the function."""

    def __init__(self, scope: LoaderScope, load: LoadKeys, *, max_size: int, window_s: float) -> None:
        super().__init__(scope, max_size=max_size, window_s=window_s)
        self._load_keys = load

    async def load_batch(self, keys: list[Any]) -> Sequence[Any]:
        """See `ScopedLoader`."""
        return await self._load_keys(keys, self._scope)
