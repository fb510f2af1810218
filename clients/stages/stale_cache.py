"""Answers kept (RFC 9111, RFC 5861): served while fresh, and stale while a newer one is fetched or when a call fails.

Batched calls are kept row by row, so a batch asks only for what it does not know and answers the rest when that fails.
"""

from collections.abc import Awaitable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from random import Random
from typing import Any, TypeVar

from cachetools import LRUCache
from msgspec.structs import replace

from clients.call import AS_POLICY, Answer, Call, Handler, Keep, Served, ServedBy
from clients.clock import Clock
from clients.errors import AttemptFailed, ServiceUnavailable, SoftTimeout, UpstreamError
from clients.operation import Kind
from clients.service import Service
from clients.stages.cache_key import CacheKeys
from clients.stages.single_flight import Run, SingleFlight
from clients.stores.base import Entry, Store

_Key = TypeVar("_Key", bound=Hashable)

_JITTER = 0.1  # ± share of the ages, so that what was fetched at about the same time does not expire at once
_MAX_WAITS = 10_000  # keys without another attempt for a while; more than these are attempted too soon


@dataclass(slots=True)
class CacheFigures:
    """What the cache of one service did since the start, counted in rows for batched calls.

    Attributes:
        fresh: served without a call.
        stale: served past their time.
        misses: what was not fresh, the stale included.
        refreshes: calls begun in the background.
    """

    fresh: int = 0
    stale: int = 0
    misses: int = 0
    refreshes: int = 0

    @property
    def stale_ratio(self) -> float | None:
        """Stale share of all; None when there was nothing yet."""
        return self.stale / total if (total := self.fresh + self.misses) else None


@dataclass(frozen=True, slots=True)
class _Wait:
    """No attempt for a key until then, and why."""

    until: float
    reason: str


@dataclass(slots=True)
class _Batch:
    """The rows of one batched call. Indices count in the call's keys.

    Attributes:
        values, served: of the rows that are at hand.
        asked: the other rows.
        spare: of these, the entries that may stand in.
        due: the rows of which newer ones are to be fetched meanwhile.
    """

    ids: list[bytes]
    kind: Any
    values: list[Any]
    served: dict[int, Served]
    asked: list[int]
    spare: dict[int, Entry]
    due: list[int]


class StaleCache:
    """Keeps the good answers of queries; never those of mutations, never partial ones, never errors.

    Args:
        flights: shares the calls that are made, and owns those that are made in the background.
    """

    def __init__(
        self,
        service: Service,
        store: Store,
        flights: SingleFlight,
        *,
        keys: CacheKeys,
        clock: Clock,
        random: Random,
    ) -> None:
        self._service = service.name
        self._policy = service.policy.cache
        self._looks_first = self._policy.looks_first
        self._keys = keys
        self._store = store
        self._flights = flights
        self._clock = clock
        self._random = random
        self._waits: LRUCache[bytes, _Wait] = LRUCache(_MAX_WAITS)
        self._moves = 0  # times that a circuit of the service opened or closed
        self._refreshing: set[bytes] = set()
        self.figures = CacheFigures()

    def __call__(self, call: Call, inner: Handler) -> Awaitable[Answer]:
        """What is at hand, else the upstream's answer, else a stale one with the reason, else the upstream's error."""
        if call.operation.kind is Kind.MUTATION:
            return inner(call)
        return self._whole(call, inner) if call.keys is None else self._rows(call, call.keys, inner)

    def circuit_moved(self) -> None:
        """A circuit of the service opened or closed: from now on it knows better when an attempt is worth making."""
        self._moves += 1
        self._waits.clear()

    async def _whole(self, call: Call, inner: Handler) -> Answer:
        key = self._keys.whole(call)
        run = partial(self._ask, inner)
        entry, soft_timeout_s = None, None
        if self._looks_first or self._why_wait(key, self._clock.now()) is not None:
            entry = await self._entry(key, call)
            now = self._clock.now()
            if entry is not None and (served := self._at_hand(key, entry, now)) is not None:
                if served.by is ServedBy.STALE and served.reason is None and key not in self._refreshing:
                    self._refresh(call, key, [key], run)
                self._count(1, fresh=served.by is ServedBy.FRESH)
                return Answer(entry.value, served)
            soft_timeout_s = self._soft_timeout_s([entry], now)
        self.figures.misses += 1
        moves = self._moves
        try:
            if soft_timeout_s is not None:
                return await self._share_for(soft_timeout_s, call, key, [key], run)
            return await self._flights.share(key, call, run)
        except UpstreamError as error:
            if not error.allows_stale:
                raise
            if not self._looks_first:  # nothing could have been fresh, so the store was not asked before
                entry = await self._entry(key, call)
            now = self._clock.now()
            if entry is None or now >= entry.stale_until:
                raise
            self._make_wait([key], error, moves)
            self.figures.stale += 1
            return Answer(entry.value, Served(ServedBy.STALE, error.code, now - entry.produced_at))

    async def _rows(self, call: Call, keys: Sequence[object], inner: Handler) -> Answer:
        batch = await self._known(call, keys)
        run = partial(self._ask_rows, inner)
        if batch.due:
            ids = [batch.ids[i] for i in batch.due]
            self._refresh(call.for_keys([keys[i] for i in batch.due]), tuple(ids), ids, run)
        if not batch.asked:
            return Answer(batch.values, Served(ServedBy.FRESH), batch.served)
        part = call.for_keys([keys[i] for i in batch.asked]) if batch.served else call
        ids = [batch.ids[i] for i in batch.asked]
        soft_timeout_s = None
        if batch.spare:
            soft_timeout_s = self._soft_timeout_s([batch.spare.get(i) for i in batch.asked], self._clock.now())
        moves = self._moves
        try:
            if soft_timeout_s is not None:
                answer = await self._share_for(soft_timeout_s, part, tuple(ids), ids, run)
            else:
                answer = await self._flights.share(tuple(ids), part, run)
        except UpstreamError as error:
            if not error.allows_stale and not batch.served:
                raise
            # how the rest is served; rows that a stale entry stands in for say so themselves
            fresh = any(served.by is ServedBy.FRESH for served in batch.served.values())
            answer = Answer([error] * len(ids), Served(ServedBy.FRESH if fresh else ServedBy.STALE, error.code))
            stand_ins = await self._stand_ins(batch, answer, moves)
            if not batch.served and not stand_ins:
                raise
            return self._combined(batch, answer, stand_ins)
        stand_ins = await self._stand_ins(batch, answer, moves)
        return self._combined(batch, answer, stand_ins) if batch.served or stand_ins else answer

    async def _entry(self, key: bytes, call: Call) -> Entry | None:
        kind = call.operation.row | None
        if call.operation.many:
            kind = list[kind] | None  # type: ignore[valid-type]
        (entry,) = await self._store.get_many([key], kind)
        return entry

    async def _known(self, call: Call, keys: Sequence[object]) -> _Batch:
        """What is at hand, and what must be asked for."""
        ids = self._keys.rows(call, keys)
        batch = _Batch(ids, call.operation.row | None, [None] * len(ids), {}, [*range(len(ids))], {}, [])
        if self._looks_first or (len(self._waits) and self._any_waits(ids)):
            self._look(batch, await self._store.get_many(ids, batch.kind))
        self.figures.misses += len(batch.asked)
        return batch

    def _look(self, batch: _Batch, entries: Sequence[Entry | None]) -> None:
        now = self._clock.now()
        batch.asked = []
        alike: dict[float, Served] = {}  # fresh rows that were fetched together are served alike
        fresh = 0
        for i, entry in enumerate(entries):
            if entry is None:
                batch.asked.append(i)
                continue
            served = alike.get(entry.produced_at) if now < entry.fresh_until else None
            if served is None and (served := self._at_hand(batch.ids[i], entry, now)) is None:
                batch.asked.append(i)
                batch.spare[i] = entry
                continue
            if served.by is ServedBy.FRESH:
                fresh += 1
                alike[entry.produced_at] = served
            elif served.reason is None and batch.ids[i] not in self._refreshing:
                batch.due.append(i)
            batch.values[i], batch.served[i] = entry.value, served
        self._count(len(batch.served), fresh=fresh)

    def _at_hand(self, key: bytes, entry: Entry, now: float) -> Served | None:
        """How an entry is served without asking the upstream first; None when it must be asked."""
        age_s = now - entry.produced_at
        if now < entry.fresh_until:
            return Served(ServedBy.FRESH, age_s=age_s)
        if now >= entry.stale_until:
            return None
        reason = self._why_wait(key, now)
        return Served(ServedBy.STALE, reason, age_s) if reason is not None or now < entry.revalidate_until else None

    def _why_wait(self, key: bytes, now: float) -> str | None:
        """Why there is to be no attempt for a key just now; None when there may be one."""
        if key not in self._waits:
            return None
        wait = self._waits[key]
        if now < wait.until:
            return wait.reason
        del self._waits[key]
        return None

    def _any_waits(self, ids: Iterable[bytes]) -> bool:
        now = self._clock.now()
        return any(self._why_wait(key, now) is not None for key in ids)

    def _count(self, at_hand: int, *, fresh: int) -> None:
        self.figures.fresh += fresh
        self.figures.stale += at_hand - fresh
        self.figures.misses += at_hand - fresh

    def _soft_timeout_s(self, entries: Sequence[Entry | None], now: float) -> float | None:
        """How long the upstream is waited for; None: as long as it takes, because not all have a stale entry."""
        soft_timeout_s = self._policy.soft_timeout_s
        if soft_timeout_s is None:
            return None
        usable = all(entry is not None and now + soft_timeout_s < entry.stale_until for entry in entries)
        return soft_timeout_s if usable else None

    async def _share_for(
        self, soft_timeout_s: float, call: Call, key: _Key, ids: list[bytes], run: Run[_Key]
    ) -> Answer:
        """The upstream's answer, if it comes in time; else the call goes on in the background.

        Raises:
            UpstreamError: the flight's, or SoftTimeout.
        """
        self._refresh(call, key, ids, run)
        try:
            async with self._clock.timeout(soft_timeout_s):
                return await self._flights.share(key, call, run)
        except TimeoutError as error:
            raise SoftTimeout(self._service, f"{call.operation.name}: no answer within {soft_timeout_s:g} s") from error

    def _refresh(self, call: Call, key: _Key, ids: list[bytes], run: Run[_Key]) -> None:
        """Make a call that nobody need wait for, by the policy's times alone; none when it is under way already."""
        call = replace(call, caller=replace(call.caller, deadline=None, heard=None))
        if self._flights.launch(key, call, partial(self._revalidate, ids, run)):
            self._refreshing.update(ids)
            self.figures.refreshes += 1
            if (span := call.caller.span) is not None:
                span.event("refresh begun", {"breakwater.rows": len(ids)})

    async def _revalidate(self, ids: list[bytes], run: Run[_Key], call: Call, key: _Key) -> Answer:
        moves = self._moves
        try:
            return await run(call, key)
        except UpstreamError as error:
            if error.allows_stale:
                self._make_wait(ids, error, moves)
            raise
        finally:
            self._refreshing.difference_update(ids)

    def _make_wait(self, ids: Iterable[bytes], error: UpstreamError, moves: int) -> None:
        """No attempt for a while, if one was made and failed, and no circuit has moved since it began."""
        causes = error.causes if isinstance(error, ServiceUnavailable) else (error,)
        if moves != self._moves or not any(isinstance(cause, AttemptFailed) for cause in causes):
            return
        wait_s = self._policy.retry_after_stale_s
        if error.retry_after_s is not None:
            wait_s = min(wait_s, error.retry_after_s)
        if wait_s > 0:
            wait = _Wait(self._clock.now() + wait_s, error.code)
            for key in ids:
                self._waits[key] = wait

    async def _stand_ins(self, batch: _Batch, answer: Answer, moves: int) -> dict[int, tuple[Entry, UpstreamError]]:
        """By index, the stale entries of the rows that failed, and why they stand in."""
        failed = {
            i: value
            for i, value in zip(batch.asked, answer.value, strict=True)
            if isinstance(value, UpstreamError) and value.allows_stale
        }
        if not failed:
            return {}
        entries: Sequence[Entry | None] = [batch.spare.get(i) for i in failed]
        if not self._looks_first:  # nothing could have been fresh, so the store was not asked before
            entries = await self._store.get_many([batch.ids[i] for i in failed], batch.kind)
        now = self._clock.now()
        found = {
            i: (entry, error)
            for (i, error), entry in zip(failed.items(), entries, strict=True)
            if entry is not None and now < entry.stale_until
        }
        for i, (_, error) in found.items():
            self._make_wait([batch.ids[i]], error, moves)
        self.figures.stale += len(found)
        return found

    def _combined(self, batch: _Batch, answer: Answer, stand_ins: dict[int, tuple[Entry, UpstreamError]]) -> Answer:
        """The rows at hand, the new and the stale ones together, each saying how it was served."""
        now = self._clock.now()
        values, served = batch.values, batch.served
        for i, value in zip(batch.asked, answer.value, strict=True):
            values[i] = value
        for i, (entry, error) in stand_ins.items():
            values[i], served[i] = entry.value, Served(ServedBy.STALE, error.code, now - entry.produced_at)
        problems = tuple(p if p.index is None else replace(p, index=batch.asked[p.index]) for p in answer.problems)
        return Answer(values, answer.served, served, problems, answer.size)

    async def _ask(self, inner: Handler, call: Call, key: bytes) -> Answer:
        """Ask the upstream, and keep its answer."""
        answer = await inner(call)
        self._waits.pop(key, None)
        if answer.problems:
            return answer
        if answer.keep is None or (answer.keep is not AS_POLICY and self._is_useless(answer.keep)):
            await self._store.delete_many([key])  # older than what the client has seen now
        elif answer.value is None:
            await self._keep_absent([key], answer.keep)
        else:
            now, fresh_until, revalidate_until, stale_until = self._times(answer.keep)
            size = answer.size or 1
            entry = Entry(answer.value, now, fresh_until, revalidate_until, stale_until, size)
            await self._store.put_many({key: entry})
        return answer

    async def _ask_rows(self, inner: Handler, call: Call, ids: tuple[bytes, ...]) -> Answer:
        """Ask the upstream, and keep the rows of a good answer; a row with a problem of its own is left as it was."""
        answer = await inner(call)
        spoilt = {p.index for p in answer.problems}
        if None in spoilt:
            return answer
        if len(self._waits):
            for key in ids:
                self._waits.pop(key, None)
        if answer.keep is None or (answer.keep is not AS_POLICY and self._is_useless(answer.keep)):
            given = [not isinstance(value, UpstreamError) for value in answer.value]
            await self._store.delete_many(list(compress(ids, given)))
            return answer
        now, fresh_until, revalidate_until, stale_until = self._times(answer.keep)
        size = max(1, answer.size // len(ids))
        kept = {}
        absent = []
        for i, (key, value) in enumerate(zip(ids, answer.value, strict=True)):
            if value is None:
                absent.append(key)
            elif not (isinstance(value, UpstreamError) or i in spoilt):
                kept[key] = Entry(value, now, fresh_until, revalidate_until, stale_until, size)
        if kept:
            await self._store.put_many(kept)
        # Beside errors, null may be what is left of an answer that failed elsewhere; and a 404 for the whole batch may
        # be a wrong route, which says nothing of each row.
        if absent and answer.size and not answer.problems:
            await self._keep_absent(absent, answer.keep)
        return answer

    def _is_useless(self, keep: Keep) -> bool:
        """Whether an entry would be of no use, fresh or stale."""
        return min(self._policy.max_age_s, keep.fresh_s) + min(self._policy.stale_if_error_s, keep.stale_s) == 0

    def _times(self, keep: Keep) -> tuple[float, float, float, float]:
        """Of an entry made now; the same for all rows of a batch, which are fetched again together."""
        policy, now = self._policy, self._clock.now()
        stretch = 1 - _JITTER + 2 * _JITTER * self._random.random()
        fresh_s, stale_s = policy.max_age_s * stretch, policy.stale_if_error_s * stretch
        revalidate_s = policy.stale_while_revalidate_s * stretch
        if keep is not AS_POLICY:
            fresh_s, stale_s = min(fresh_s, keep.fresh_s), min(stale_s, keep.stale_s)
            revalidate_s = min(revalidate_s, keep.revalidate_s, stale_s)
        fresh_until = now + fresh_s
        return now, fresh_until, fresh_until + revalidate_s, fresh_until + stale_s

    async def _keep_absent(self, ids: list[bytes], keep: Keep) -> None:
        """What the upstream no longer knows is never served stale; that it does not know it is kept for a moment."""
        fresh_s = min(self._policy.max_age_s, self._policy.not_found_s, keep.fresh_s)
        if fresh_s == 0:
            await self._store.delete_many(ids)
        else:
            now = self._clock.now()
            until = now + fresh_s
            await self._store.put_many(dict.fromkeys(ids, Entry(None, now, until, until, until, 1)))
