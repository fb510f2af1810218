"""Answers kept: served without a call while fresh, and in place of a failed call while stale (RFC 9111, RFC 5861).

Batched calls are kept row by row, so a batch asks only for what it does not know and answers the rest when that fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from clients.call import Answer, Call, Handler, Served, ServedBy
from clients.clock import Clock
from clients.errors import UpstreamError
from clients.operation import Kind
from clients.policy import CachePolicy
from clients.stages.cache_key import CacheKeys
from clients.stores.base import Entry, Store

_NEGATIVE_S = 5.0  # "no such row" is kept no longer than this: rows get created
_JITTER = 0.1  # ± share of the ages, so that what was fetched together does not expire together


@dataclass(slots=True)
class _Batch:
    """The rows of one batched call. Indices count in the call's keys."""

    ids: list[bytes]
    kind: object
    entries: list[Entry | None]
    fresh: list[int]
    asked: list[int]


@dataclass(slots=True)
class CacheFigures:
    """What the cache of one service did since the start, counted in rows for batched calls."""

    fresh: int = 0
    stale: int = 0
    misses: int = 0


class StaleCache:
    """Keeps the good answers of queries; never those of mutations, never partial ones, never errors."""

    def __init__(self, policy: CachePolicy, keys: CacheKeys, store: Store, clock: Clock, random: Random) -> None:
        self._policy = policy
        self._keys = keys
        self._store = store
        self._clock = clock
        self._random = random
        self.figures = CacheFigures()

    async def __call__(self, call: Call, inner: Handler) -> Answer:
        """A fresh answer, else the upstream's, else a stale one with the reason, else the upstream's error."""
        policy = self._policy
        if call.operation.kind is Kind.MUTATION or (policy.max_age_s == 0 and policy.stale_if_error_s == 0):
            return await inner(call)
        if call.keys is not None:
            return await self._rows(call, call.keys, inner)
        return await self._whole(call, inner)

    async def _whole(self, call: Call, inner: Handler) -> Answer:
        key = self._keys.whole(call)
        kind = call.operation.row | None
        if call.operation.many:
            kind = list[kind] | None  # type: ignore[valid-type]
        entry = (await self._store.get_many([key], kind))[0] if self._policy.max_age_s > 0 else None
        now = self._clock.now()
        if entry is not None and now < entry.fresh_until:
            self.figures.fresh += 1
            return Answer(entry.value, Served(ServedBy.FRESH, age_s=now - entry.produced_at))
        self.figures.misses += 1
        try:
            answer = await inner(call)
        except UpstreamError as error:
            if not error.allows_stale:
                raise
            if self._policy.max_age_s == 0:  # nothing could have been fresh, so the store was not asked before
                entry = (await self._store.get_many([key], kind))[0]
            now = self._clock.now()
            if entry is None or now >= entry.stale_until:
                raise
            self.figures.stale += 1
            return Answer(entry.value, Served(ServedBy.STALE, error.code, now - entry.produced_at))
        if not answer.problems:
            if answer.value is None:
                await self._store_absent([key])
            else:
                await self._store.put_many({key: self._entry(answer.value, answer.size)})
        return answer

    async def _rows(self, call: Call, keys: Sequence[object], inner: Handler) -> Answer:
        batch = await self._known(call, keys)
        if not batch.asked:
            return self._combined(batch, Answer([], Served(ServedBy.FRESH)), {})
        part = call.for_keys([keys[i] for i in batch.asked]) if batch.fresh else call
        try:
            answer = await inner(part)
        except UpstreamError as error:
            if not error.allows_stale and not batch.fresh:
                raise
            # how the rest is served; rows that a stale entry stands in for say so themselves
            rest = Served(ServedBy.FRESH if batch.fresh else ServedBy.STALE, error.code)
            answer = Answer([error] * len(batch.asked), rest)
            combined = self._combined(batch, answer, await self._stand_ins(batch, answer))
            if all(value is error for value in combined.value):
                raise
            return combined
        await self._keep([batch.ids[i] for i in batch.asked], answer)
        stand_ins = await self._stand_ins(batch, answer)
        return self._combined(batch, answer, stand_ins) if batch.fresh or stand_ins else answer

    async def _known(self, call: Call, keys: Sequence[object]) -> _Batch:
        """What is fresh, and what must be asked for."""
        batch = _Batch(self._keys.rows(call, keys), call.operation.row | None, [None] * len(keys), [], [])
        if self._policy.max_age_s > 0:
            batch.entries = await self._store.get_many(batch.ids, batch.kind)
        now = self._clock.now()
        for i, entry in enumerate(batch.entries):
            (batch.fresh if entry is not None and now < entry.fresh_until else batch.asked).append(i)
        self.figures.fresh += len(batch.fresh)
        self.figures.misses += len(batch.asked)
        return batch

    async def _stand_ins(self, batch: _Batch, answer: Answer) -> dict[int, tuple[Entry, str]]:
        """By index, the stale entries of the rows that failed, and why they stand in."""
        failed = {
            i: value.code
            for i, value in zip(batch.asked, answer.value, strict=True)
            if isinstance(value, UpstreamError) and value.allows_stale
        }
        if not failed:
            return {}
        entries = [batch.entries[i] for i in failed]
        if self._policy.max_age_s == 0:  # nothing could have been fresh, so the store was not asked before
            entries = await self._store.get_many([batch.ids[i] for i in failed], batch.kind)
        now = self._clock.now()
        found = {
            i: (entry, code)
            for (i, code), entry in zip(failed.items(), entries, strict=True)
            if entry is not None and now < entry.stale_until
        }
        self.figures.stale += len(found)
        return found

    def _combined(self, batch: _Batch, answer: Answer, stand_ins: dict[int, tuple[Entry, str]]) -> Answer:
        """Fresh, new and stale rows together, each saying how it was served."""
        now = self._clock.now()
        values: list[object] = [None] * len(batch.ids)
        served: dict[int, Served] = {}
        for i, value in zip(batch.asked, answer.value, strict=True):
            values[i] = value
        for i in batch.fresh:
            if (entry := batch.entries[i]) is not None:
                values[i], served[i] = entry.value, Served(ServedBy.FRESH, age_s=now - entry.produced_at)
        for i, (entry, code) in stand_ins.items():
            values[i], served[i] = entry.value, Served(ServedBy.STALE, code, now - entry.produced_at)
        problems = tuple(p if p.index is None else replace(p, index=batch.asked[p.index]) for p in answer.problems)
        return Answer(values, answer.served, served, problems, answer.size)

    async def _keep(self, ids: list[bytes], answer: Answer) -> None:
        """Keep the rows of a good answer; a row with a problem of its own is left as it was."""
        spoilt = {p.index for p in answer.problems}
        if None in spoilt:
            return
        size = answer.size // max(1, len(ids))
        kept = {}
        absent = []
        for i, (key, value) in enumerate(zip(ids, answer.value, strict=True)):
            if isinstance(value, UpstreamError) or i in spoilt:
                continue
            if value is not None:
                kept[key] = self._entry(value, size)
            elif not answer.problems:  # beside errors, null may be what is left of an answer that failed elsewhere
                absent.append(key)
        if kept:
            await self._store.put_many(kept)
        if absent and answer.size:  # a 404 for the whole batch may be a wrong route, and says nothing of each row
            await self._store_absent(absent)

    async def _store_absent(self, ids: list[bytes]) -> None:
        """What the upstream no longer knows is never served stale; that it does not know it is kept for a moment."""
        fresh_s = min(self._policy.max_age_s, _NEGATIVE_S)
        if fresh_s == 0:
            await self._store.delete_many(ids)
        else:
            now = self._clock.now()
            entry = Entry(None, now, now + fresh_s, now + fresh_s, 1)
            await self._store.put_many(dict.fromkeys(ids, entry))

    def _entry(self, value: object, size: int) -> Entry:
        now = self._clock.now()
        stretch = self._random.uniform(1 - _JITTER, 1 + _JITTER)
        fresh_until = now + self._policy.max_age_s * stretch
        return Entry(value, now, fresh_until, fresh_until + self._policy.stale_if_error_s * stretch, max(1, size))
