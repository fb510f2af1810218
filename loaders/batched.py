"""Rows by key, declared once: many fields, one loader, one call."""

import typing
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import strawberry
from strawberry.utils.str_converters import to_snake_case

from clients.operation import Operation, OperationError, operation
from loaders.columns import COLUMN, PathOf, keys_of
from loaders.fields import check_selection, declared_field, note
from loaders.row_loader import RowLoader
from loaders.rows import RowMapping, row_mapping
from loaders.scope import LoaderScope


def batched(
    kind: type,
    /,
    *,
    service: str,
    key: str | Sequence[str],
    graphql: str | None = None,
    rest: str | None = None,
    window_s: float = 0.0,
    **options: Any,
) -> "Batched":
    """Declare how rows of a type are loaded by key.

    ```python
    customers = batched(Customer, service="crm", key="id",
                        graphql="query ($ids: [ID!]!) { customers(ids: $ids) { id name } }",
                        rest="GET /customers{?ids}")
    ```

    Args:
        kind: the Strawberry type of a row.
        service: the service's name in gateway.yaml.
        key: the type's attribute (or attributes) that rows are matched by.
        graphql: a document with one list variable, which takes the keys.
        rest: a route whose template (or, with POST, whose body) takes them.
        window_s: seconds to collect keys for; 0 collects until the end of the event loop's turn.
        options: as `clients.operation.operation` takes them (`name`, `by`, `max_batch_size`, `public`, …).

    Raises:
        OperationError: the parts do not fit together.
    """
    name = options.pop("name", f"{kind.__name__}.by_{key if isinstance(key, str) else '_'.join(key)}")
    rows = row_mapping(kind)
    declared = operation(service, name, row=rows.row, key=key, graphql=graphql, rest=rest, **options)
    check_selection(declared, rows)
    _check_key(declared, kind, rows)
    return Batched(declared, kind, rows, window_s)


def _check_key(declared: Operation, kind: type, rows: RowMapping) -> None:
    """Refuse a key that rows do not have, and an operation that wants more than keys, for keys are all it gets."""
    batch, where = declared.batch, f"operation {declared.service}.{declared.name}"
    if batch is None:
        return
    has = getattr(rows.row, "__struct_fields__", ())
    unknown = [name for name in batch.key if name not in has]
    if unknown:
        there = ", ".join(has) or "none"
        raise OperationError(f"{where}: key: {kind.__name__} has no attribute {', '.join(unknown)} (it has: {there})")
    more = declared.required - {batch.variable}
    if more:
        raise OperationError(
            f"{where}: rows are asked for by key only: {', '.join(sorted(more))} is required too; "
            "give it a default, or declare an upstream_field"
        )


class Batched:
    """A declared batch; makes the fields that load from it."""

    def __init__(self, declared: Operation, kind: type, rows: RowMapping, window_s: float) -> None:
        self.operation = declared
        self._kind = kind
        self._rows = rows
        self._window_s = window_s
        if declared.batch is None:
            raise TypeError(f"{declared.name} is not a batched operation")
        self._batch = declared.batch

    def loader(self, scope: LoaderScope) -> RowLoader:
        """The request's loader; the same one for every field of the request."""
        loader: RowLoader | None = scope.loaders.get(self)
        if loader is None:
            loader = scope.loaders[self] = RowLoader(self.operation, scope, self._rows.make, window_s=self._window_s)
        return loader

    def field(self, *, by: str | Sequence[str], **options: Any) -> Any:
        """A field of another type: the row whose key the parent has in its attribute (or attributes) `by`.

        Null where the attribute is None or there is no such row. `options` are those of `strawberry.field`.
        """
        names = (by,) if isinstance(by, str) else tuple(by)

        async def resolve(source: Any, info: strawberry.Info, _: dict[str, Any]) -> Any:
            parts = [getattr(source, name) for name in names]
            return None if None in parts else await self._load(parts, info, ())

        key = attrgetter(names[0]) if len(names) == 1 else partial(_composite_key, names)

        async def column(sources: Sequence[Any], scope: LoaderScope, path: PathOf, alone: bool) -> list[Any]:
            values = await self.loader(scope).load_column(keys_of(sources, key), alone=alone)
            return self._noted(values, scope, path)

        metadata = {**options.pop("metadata", {}), COLUMN: column}
        return declared_field(self.operation, resolve, {}, self._kind | None, {**options, "metadata": metadata})

    def one(self, **options: Any) -> Any:
        """A root field `…(<key>: …): Type`: the row of one key, null where there is none."""

        async def resolve(_: Any, info: strawberry.Info, arguments: dict[str, Any]) -> Any:
            return await self._load(list(arguments.values()), info, ())

        hints = typing.get_type_hints(self._kind)
        arguments = {name: hints.get(name, str) for name in self._batch.key}
        return declared_field(self.operation, resolve, arguments, self._kind | None, options)

    def many(self, **options: Any) -> Any:
        """A root field `…(ids: […]): [Type]!`: a row for each key, in their order, null where there is none."""
        if len(self._batch.key) != 1:
            raise OperationError(f"operation {self.operation.name}: many() needs a key of one attribute")

        async def resolve(_: Any, info: strawberry.Info, arguments: dict[str, Any]) -> Any:
            (keys,) = arguments.values()
            return [self._load([key], info, (index,)) for index, key in enumerate(keys)]

        hint = typing.get_type_hints(self._kind).get(self._batch.key[0], str)
        arguments = {to_snake_case(self._batch.variable): list[hint]}  # type: ignore[valid-type]
        return declared_field(self.operation, resolve, arguments, list[self._kind | None], options)  # type: ignore[name-defined]

    async def load(self, key: Any, info: strawberry.Info) -> Any:
        """In a resolver of one's own: the object of a key (a tuple, if of several attributes); None without one."""
        return await self._load([*key] if isinstance(key, tuple) else [key], info, ())

    async def _load(self, parts: list[Any], info: strawberry.Info, below: tuple[int, ...]) -> Any:
        """The object of one key, noting on the request how it was served at the field's place (and `below` it)."""
        scope: LoaderScope = info.context
        loaded = await self.loader(scope).load(parts[0] if len(parts) == 1 else tuple(parts))
        if loaded.served.degraded or loaded.problems:
            path = (*info.path.as_list(), *below)
            note(scope, self.operation.service, path, loaded.served, loaded.problems)
        return loaded.value

    def _noted(self, values: list[Any], scope: LoaderScope, path: PathOf) -> list[Any]:
        """The objects of what was loaded, noting how each was served, as `_load` does; errors as they are."""
        for index, loaded in enumerate(values):
            if loaded is None or isinstance(loaded, Exception):
                continue
            if loaded.served.degraded or loaded.problems:
                note(scope, self.operation.service, path(index), loaded.served, loaded.problems)
            values[index] = loaded.value
        return values


def _composite_key(names: Sequence[str], source: Any) -> Any:
    """What a row is asked for by; None where a part of it is."""
    parts = tuple(getattr(source, name) for name in names)
    return None if None in parts else parts
