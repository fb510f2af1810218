"""Entries in Redis, shared by all processes, and never in anyone's way.

A read waits for `timeout_s` at most, a write does not wait at all, and after a few failures the circuit keeps a dead
Redis from costing anything. Nothing Redis does or fails to do is raised to the caller.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self

from redis.asyncio.client import Pipeline

from clients.clock import Clock
from clients.policy import BreakerPolicy
from clients.state.circuit import CircuitStatus
from clients.stores import codec
from clients.stores.base import Entry
from clients.stores.redis_calls import BREAKER, RedisCalls

_PREFIX = b"breakwater:%d:" % codec.VERSION
_BATCH = 100  # writes in one round trip
_SCANNED = 1_000  # keys looked at in one call, when some are to be found
_GLOB = re.compile(rb"[\\*?\[\]]")
_FLUSH_S = 1.0  # how long closing waits for what is still to be written


@dataclass(slots=True)
class RedisFigures:
    """What a Redis store has done since the start; the first four count keys.

    Attributes:
        hits: found, read and still of use.
        misses: anything else, whatever the reason.
        corrupt: there, but not an entry of this version and the kind asked for; a miss too.
        written: writes and deletions that Redis confirmed.
        dropped: writes given up: queue full, circuit open, Redis failed, no time left at closing.
        rejected: writes that Redis refused (read-only, out of memory) or that have no form outside this process.
        errors: calls that failed or took too long.
        refused: calls not made because the circuit was open.
    """

    hits: int = 0
    misses: int = 0
    corrupt: int = 0
    written: int = 0
    dropped: int = 0
    rejected: int = 0
    errors: int = 0
    refused: int = 0


class RedisStore:
    """A `Store` in Redis; an async context manager. A write is seen by readers a moment after `put_many` returns.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        clock: the one that the entries' times are read from.
        random: the source of jitter for its circuit.
        timeout_s: most that one call may take, connecting included. Default 50 ms.
        max_connections: calls at once; more wait, within `timeout_s`.
        max_queued: writes waiting at most; the oldest goes when there are more.
        breaker: when it stops asking. Default: after 3 failures in a row, for 5 s.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        random: Random,
        *,
        timeout_s: float = 0.05,
        max_connections: int = 16,
        max_queued: int = 10_000,
        breaker: BreakerPolicy = BREAKER,
    ) -> None:
        self._clock = clock
        self._max_queued = max_queued
        self._calls = RedisCalls(
            url, clock, random, timeout_s=timeout_s, max_connections=max_connections, breaker=breaker
        )
        self._queue: OrderedDict[bytes, Entry | None] = OrderedDict()  # None: delete
        self._waiting = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._figures = RedisFigures()

    async def __aenter__(self) -> Self:
        """Start writing."""
        self._writer = asyncio.create_task(self._write_on(), name="breakwater redis writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def figures(self) -> RedisFigures:
        """The figures as they are now."""
        self._figures.errors, self._figures.refused = self._calls.errors, self._calls.refused
        return self._figures

    def status(self) -> CircuitStatus:
        """Its circuit, read as data."""
        return self._calls.status()

    async def get_many(self, keys: Sequence[bytes], kind: Any) -> list[Entry | None]:
        """The entries of `keys`, in their order; see `Store`. Takes `timeout_s` at most."""
        if not keys:
            return []
        entries = self._entries(await self._calls.ask(self._read(keys)), len(keys), kind)
        found = len(keys) - entries.count(None)
        self._figures.hits += found
        self._figures.misses += len(keys) - found
        return entries

    async def put_many(self, entries: Mapping[bytes, Entry]) -> None:
        """Have entries written soon; does not wait."""
        self._enqueue(entries)

    async def delete_many(self, keys: Sequence[bytes]) -> None:
        """Have entries deleted soon; does not wait."""
        self._enqueue(dict.fromkeys(keys))

    async def aclose(self) -> None:
        """Write what is still to be written, for a second at most, and close connections."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
            self._writer = None
            try:
                async with asyncio.timeout(_FLUSH_S):
                    await self._write_queued()
            except TimeoutError:
                pass  # counted below
        self._figures.dropped += len(self._queue)
        self._queue.clear()
        await self._calls.aclose()

    async def purge(self, prefix: bytes) -> int | None:
        """Forget the entries whose keys begin so; gives how many, or None when Redis did not answer to the end.

        Goes through all keys, a thousand at a time: others are served meanwhile.
        """
        for key in [key for key in self._queue if key.startswith(prefix)]:
            del self._queue[key]
        pattern = _GLOB.sub(rb"\\\g<0>", _PREFIX + prefix) + b"*"
        cursor, gone = 0, 0
        while True:
            looking = self._calls.pipeline()
            looking.scan(cursor, match=pattern, count=_SCANNED)
            match await self._calls.ask(looking):
                case [[int(cursor), list(names)]]:
                    pass
                case _:
                    return None
            if names:
                forgetting = self._calls.pipeline()
                forgetting.unlink(*names)
                match await self._calls.ask(forgetting):
                    case [int(count)]:
                        gone += count
                    case _:
                        return None
            if cursor == 0:
                return gone

    def _read(self, keys: Sequence[bytes]) -> Pipeline:
        # One transaction: the time to live has to be that of the value beside it
        pipeline = self._calls.pipeline(transaction=True)
        names = [_PREFIX + key for key in keys]
        pipeline.mget(names)
        for name in names:
            pipeline.pttl(name)
        return pipeline

    def _entries(self, replies: Any, count: int, kind: Any) -> list[Entry | None]:
        match replies:
            case [[*values], *lives] if len(values) == len(lives) == count:
                now = self._clock.now()
                return [self._entry(value, life, kind, now) for value, life in zip(values, lives, strict=True)]
            case _:
                return [None] * count

    def _entry(self, data: Any, left_ms: Any, kind: Any, now: float) -> Entry | None:
        if data is None:
            return None
        try:
            if not isinstance(data, bytes) or not isinstance(left_ms, int) or left_ms < 0:
                raise codec.CorruptEntryError("not written by a store")
            entry = codec.decode(data, kind, left_s=left_ms / 1000, now=now)
        except codec.CorruptEntryError:
            self._figures.corrupt += 1
            return None
        return entry if now < entry.stale_until else None

    def _enqueue(self, writes: Mapping[bytes, Entry | None]) -> None:
        for key, entry in writes.items():
            self._queue[key] = entry
            self._queue.move_to_end(key)
        while len(self._queue) > self._max_queued:
            self._queue.popitem(last=False)
            self._figures.dropped += 1
        self._waiting.set()

    async def _write_on(self) -> None:
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            await self._write_queued()

    async def _write_queued(self) -> None:
        while self._queue:
            batch = {key: self._queue[key] for key, _ in zip(self._queue, range(_BATCH), strict=False)}
            pipeline = self._calls.pipeline()
            for key, entry in batch.items():
                self._add(pipeline, key, entry)
            commands = len(pipeline)
            replies = await self._calls.ask(pipeline) if commands else []
            # Only now: a writer cancelled half-way leaves them to be written again, which does no harm
            for key, entry in batch.items():
                if key in self._queue and self._queue[key] is entry:
                    del self._queue[key]
            if not isinstance(replies, list):
                self._figures.dropped += commands
                continue
            refused = sum(isinstance(reply, Exception) for reply in replies)
            self._figures.rejected += refused
            self._figures.written += len(replies) - refused

    def _add(self, pipeline: Pipeline, key: bytes, entry: Entry | None) -> None:
        if entry is None:
            pipeline.delete(_PREFIX + key)
            return
        left_ms = int((entry.stale_until - self._clock.now()) * 1000)
        if left_ms < 1:
            return  # of no more use
        try:
            data = codec.encode(entry)
        except Exception:  # noqa: BLE001 - a value nobody foresaw may refuse in any way, and must not end the writer
            self._figures.rejected += 1
        else:
            pipeline.set(_PREFIX + key, data, px=left_ms)
