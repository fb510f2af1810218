"""Running a program: columns of objects, resolver after resolver; graphql-core for each value out of the ordinary.

No resolver is called twice. What a resolver gave is looked at before anything below it runs; where it is not what its
type says, graphql-core's own executor completes that one value and what is below it, with its messages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import NoneType
from typing import Any

import msgspec
from graphql import (
    Executor,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    default_field_resolver,
    default_type_resolver,
    is_abstract_type,
    located_error,
)
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, is_awaitable

from gateway.local_execution.columns import Column, Found, Group
from gateway.local_execution.failures import Failures
from gateway.local_execution.layout import Field, How, Position, Program
from gateway.local_execution.leaves import Unusual
from gateway.local_execution.values import any_awaitable, flat, listed, parted, results, take_out, told, usual

Work = Callable[[], Awaitable[None]]
"""Something to wait for, and what follows from it."""

_UNCHANGING = (str, int, float, bool, NoneType, Enum)
"""Arguments that resolvers cannot change, so that a whole column gets the same."""


async def run_program(
    program: Program,
    executor_class: type[Executor[Any]],
    variables: VariableValues,
    context: object,
    *,
    hide_suggestions: bool,
    alone: bool = False,
) -> tuple[msgspec.Struct | None, list[GraphQLError]]:
    """Answer the operation: data that msgspec encodes, and the errors, in the order of the document.

    When this is cancelled, so is everything under way.

    Args:
        program: of the operation, for these variables.
        executor_class: graphql-core's, as the schema wants it.
        variables: coerced.
        context: for resolvers.
        hide_suggestions: in messages.
        alone: nothing else runs for the same context, so a batch that is alone here need not wait for others.
    """
    run = _Run(program, executor_class, variables, context, hide_suggestions=hide_suggestions)
    run.beside = 0 if alone else 1
    root = run.make(Column(program.root, (None,)))
    if program.serial:
        await run.serially(root)
    else:
        works: list[Work] = []
        run.fill(root, works)
        await run.all(works)
    failures = run.failures
    if not failures:
        return root.made[0], []
    return None if failures.nothing else root.made[0], failures.told(program.root)


class _Run:
    """One execution."""

    __slots__ = ("_class", "_context", "_executor", "_hide_suggestions", "_program", "_variables", "beside", "failures")

    def __init__(
        self,
        program: Program,
        executor_class: type[Executor[Any]],
        variables: VariableValues,
        context: object,
        *,
        hide_suggestions: bool,
    ) -> None:
        self.failures = Failures()
        self.beside = 1
        """How often what is under way was forked; with 0 there is nothing beside what runs just now."""
        self._program = program
        self._class = executor_class
        self._variables = variables
        self._context = context
        self._hide_suggestions = hide_suggestions
        self._executor: Executor[Any] | None = None

    def _core(self) -> Executor[Any]:
        """graphql-core's executor: makes `info`, and completes what is out of the ordinary."""
        if self._executor is None:
            program = self._program
            self._executor = self._class(
                program.schema,
                program.fragments,
                program.fragment_details,
                None,
                self._context,
                program.operation,
                self._variables,
                default_field_resolver,
                default_type_resolver,
                default_field_resolver,
                hide_suggestions=self._hide_suggestions,
            )
            self._executor.collected_errors = self.failures
        return self._executor

    def _info(self, column: Column, row: int, of: Field) -> GraphQLResolveInfo[Any]:
        return self._core().build_resolve_info(of.definition, of.nodes, of.parent, column.path_of(row, of))

    async def all(self, works: Sequence[Work]) -> None:
        """Do all of it at once; what is alone needs no task."""
        if len(works) == 1:
            await works[0]()
        elif works:
            self.beside += 1
            first, *others = works
            async with asyncio.TaskGroup() as group:
                for work in others:
                    group.create_task(_run(work))
                await first()
            self.beside -= 1

    # Columns

    def make(self, column: Column) -> Column:
        """Make a column's objects, their attributes copied; `fill` it when they have their place."""
        position, sources = column.position, column.sources
        try:
            column.made = position.make(sources)
        except Exception:  # noqa: BLE001  # whatever it is, `fill` finds it again, at its object
            for row, source in enumerate(sources):
                try:
                    column.made += position.make((source,))
                except Exception:  # noqa: BLE001  # as above
                    column.made.append(position.made())
                    column.rare.append(row)
        return column

    def fill(self, column: Column, works: list[Work]) -> None:
        """Begin all that the column's objects still lack."""
        if not column.sources:
            return
        self._find_rare(column, works)
        for of in column.position.steps:
            self._begin(column, of, works)

    async def serially(self, root: Column) -> None:
        """Field after field, each with all below it; none after one that took the root (specification, §6.2.2)."""
        works: list[Work] = []
        self._find_rare(root, works)
        await self.all(works)
        for of in root.position.steps:
            if self.failures.nothing:
                return
            works = []
            self._begin(root, of, works)
            await self.all(works)

    def _find_rare(self, column: Column, works: list[Work]) -> None:
        for row in column.rare:
            for of in column.position.copied:
                self._rare(column, row, of, _or_error(of, column.sources[row]), works)

    def _begin(self, column: Column, of: Field, works: list[Work]) -> None:
        if of.how is How.COLUMN:
            works.append(partial(self._batch, column, of))
            return
        values = self._read(column, of) if of.how is How.ATTRIBUTE else self._called(column, of)
        if any_awaitable(values):
            works.append(partial(self._awaited, column, of, values))
        else:
            self._complete(column, of, values, works)

    @staticmethod
    def _read(column: Column, of: Field) -> list[Any]:
        try:
            return of.read(column.sources)
        except Exception:  # noqa: BLE001  # found again here, at its object
            return [_or_error(of, source) for source in column.sources]

    def _called(self, column: Column, of: Field) -> list[Any]:
        """What a resolver gives for each object: a value, an exception, or something to wait for."""
        given: list[Any] = []
        call = of.call
        if call is not None:
            info = None
            for row, source in enumerate(column.sources):
                try:
                    if of.info is not None:
                        info = of.info(self._info(column, row, of))
                    given.append(call(source, info))
                except Exception as error:  # noqa: BLE001  # a resolver's; it becomes the field's
                    given.append(error)
            return given
        resolve = of.definition.resolve or default_field_resolver
        shared: Mapping[str, Any] | None = None
        for row, source in enumerate(column.sources):
            try:
                arguments = self._arguments(of) if shared is None else shared
                given.append(resolve(source, self._info(column, row, of), **arguments))
                if shared is None and all(isinstance(value, _UNCHANGING) for value in arguments.values()):
                    shared = arguments
            except Exception as error:  # noqa: BLE001  # as above
                given.append(error)
        return given

    def _arguments(self, of: Field) -> Mapping[str, Any]:
        node = of.details[0].node
        if not of.definition.args and not node.arguments:
            return {}
        return get_argument_values(of.definition, node, self._variables, None, self._hide_suggestions)

    async def _batch(self, column: Column, of: Field) -> None:
        def path(row: int) -> list[str | int]:
            return column.path_of(row, of).as_list()

        context: Any = self._context
        values: list[Any]
        try:
            values = await of.column(column.sources, context, path, not self.beside)
        except Exception as error:  # noqa: BLE001  # of the batch as a whole, so of each value
            values = [error] * len(column.sources)
        await self._go_on(column, of, values)

    async def _awaited(self, column: Column, of: Field, values: list[Any]) -> None:
        await self._go_on(column, of, await results(values))

    async def _go_on(self, column: Column, of: Field, values: list[Any]) -> None:
        works: list[Work] = []
        self._complete(column, of, values, works)
        await self.all(works)

    # Values

    def _complete(self, column: Column, of: Field, values: list[Any], works: list[Work]) -> None:
        """Put a column's values into its objects, and begin what is below them."""
        if of.fill is None:
            if not self._alike(column, of, values, works):
                self._mixed(column, of, enumerate(values), works)
            return
        try:
            of.fill(column.made, values)
        except Exception:  # noqa: BLE001  # found again here, at its object
            for row, value in enumerate(values):
                try:
                    of.fill((column.made[row],), (value,))
                except Exception:  # noqa: BLE001  # graphql-core says what it is
                    self._rare(column, row, of, value, works)

    def _alike(self, column: Column, of: Field, values: list[Any], works: list[Work]) -> bool:
        """Objects of one type, or lists of them, nothing unusual among them; False, and nothing done, for others."""
        named = of.named
        if not isinstance(named, GraphQLObjectType) or named.is_type_of is not None:
            return False
        rows: Sequence[int] = range(len(values))
        made = column.made
        indices: Sequence[int] | None = None
        items = values
        kinds = None
        if len(of.nullable) == 1:
            kinds = set(map(type, values))
            if of.nullable[0] and NoneType in kinds:
                kinds.remove(NoneType)
                rows = [row for row, value in enumerate(values) if value is not None]
                items = [values[row] for row in rows]
                made = [made[row] for row in rows]
        elif len(of.nullable) == 2 and all(type(value) is list for value in values):  # a list
            items, rows, indices = flat(values)
        else:
            return False
        if not usual(set(map(type, items)) if kinds is None else kinds):
            return False
        position = self._program.below(column.position, of, named)
        if position is None:
            return False
        below = self.make(Column(position, items, column, of, rows, indices))
        if indices is None:
            of.assign(made, below.made)
        else:  # copies, for a null may take an item's place in the response
            of.assign(made, parted(below.made, values))
        self.fill(below, works)
        return True

    def _mixed(self, column: Column, of: Field, values: Iterable[tuple[int, Any]], works: list[Work]) -> None:
        """Objects of several types, with nulls among them, in lists of lists: a column for each type."""
        groups: dict[str, Group] = {}
        for row, given in values:
            value = given if len(of.nullable) == 1 else listed(given)
            if type(value) is list and len(of.nullable) == 2 and any_awaitable(value):  # a list
                works.append(partial(self._awaited_items, column, of, row, value))
                continue
            found = Found()
            try:
                found.take(value, of.nullable)
                positions = self._positions(column, of, row, found.items)
            except Exception:  # noqa: BLE001  # graphql-core says what it is
                self._rare(column, row, of, value, works)
                continue
            of.assign((column.made[row],), (found.placed,))
            for number, position in enumerate(positions):
                group = groups.get(position.object_type.name)
                if group is None:
                    group = groups[position.object_type.name] = Group(position)
                group.add(row, found, number)
        opened = [(group, self.make(group.column(column, of))) for group in groups.values()]
        for group, below in opened:
            for row, place, made in zip(group.rows, group.places, below.made, strict=True):
                if place is None:
                    of.assign((column.made[row],), (made,))
                else:
                    items, index = place
                    items[index] = made
        for _, below in opened:
            self.fill(below, works)

    async def _awaited_items(self, column: Column, of: Field, row: int, values: list[Any]) -> None:
        works: list[Work] = []
        self._mixed(column, of, [(row, await results(values))], works)
        await self.all(works)

    def _positions(self, column: Column, of: Field, row: int, items: Iterable[Any]) -> list[Position]:
        """The position of each object, by its runtime type.

        Raises:
            Unusual: one has none.
        """
        named = of.named
        info: Any = self._info(column, row, of) if of.asks_info else None
        found = []
        for item in items:
            if isinstance(item, Exception) or is_awaitable(item):
                raise Unusual
            type_ = self._runtime_type(named, item, info) if is_abstract_type(named) else named
            if not isinstance(type_, GraphQLObjectType):
                raise Unusual
            if type_.is_type_of is not None and not told(type_.is_type_of(item, info)):
                raise Unusual
            position = self._program.below(column.position, of, type_)
            if position is None:
                raise Unusual
            found.append(position)
        return found

    def _runtime_type(self, named: GraphQLAbstractType, item: Any, info: GraphQLResolveInfo[Any]) -> Any:
        schema = self._program.schema
        name = told((named.resolve_type or default_type_resolver)(item, info, named))
        type_ = schema.get_type(name) if isinstance(name, str) else None
        if type_ is None or not schema.is_sub_type(named, type_):
            raise Unusual
        return type_

    # What is out of the ordinary

    def _rare(self, column: Column, row: int, of: Field, value: Any, works: list[Work]) -> None:
        """Have graphql-core complete one value, and all that is below it."""
        if isinstance(value, Exception):
            self._failed(column, row, of, value)
            return
        core = self._core()
        info = self._info(column, row, of)
        try:
            if is_awaitable(value):
                done: Any = core.complete_awaitable_value(of.type, of.details, info, info.path, value, None)
            else:
                done = core.complete_value(of.type, of.details, info, info.path, value, None)
        except Exception as error:  # noqa: BLE001  # the field's
            self._failed(column, row, of, error)
            return
        if is_awaitable(done):
            works.append(partial(self._rare_rest, column, row, of, done))
        else:
            of.assign((column.made[row],), (done,))

    async def _rare_rest(self, column: Column, row: int, of: Field, rest: Awaitable[Any]) -> None:
        try:
            done = await rest
        except Exception as error:  # noqa: BLE001  # the field's
            self._failed(column, row, of, error)
        else:
            of.assign((column.made[row],), (done,))

    def _failed(self, column: Column, row: int, of: Field, error: Exception) -> None:
        """Make a field null for an object; if it may not be, what it is in, and so on outward."""
        path = column.path_of(row, of)
        located = located_error(error, of.nodes, path.as_list())
        if of.nullable[0]:
            of.assign((column.made[row],), (None,))
            self.failures.add(located, path)
            return
        at, holder = column.up, column.of
        if at is None or holder is None:
            self.failures.add(located, None)
            return
        indices, up = column.indices_of(row), column.rows[row]
        for depth in range(len(indices), 0, -1):
            if holder.nullable[depth]:
                take_out(getattr(at.made[up], holder.attribute), indices[:depth])
                place: Path = at.path_of(up, holder)
                for index in indices[:depth]:
                    place = Path(place, index, None)
                self.failures.add(located, place)
                return
        self._failed(at, up, holder, located)


async def _run(work: Work) -> None:
    await work()


def _or_error(of: Field, source: Any) -> Any:
    """An attribute, or the exception that reading it raises."""
    try:
        (value,) = of.read((source,))
    except Exception as error:  # noqa: BLE001  # it becomes the field's
        return error
    return value
