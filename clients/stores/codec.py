"""How an entry looks outside this process: one version byte, then MessagePack.

The times are durations, so that neither another machine's monotonic clock nor anybody's wall clock matters; the age is
what the store's own time to live says.
"""

from functools import lru_cache
from math import inf
from typing import Any

import msgspec

from clients.stores.base import Entry

VERSION = 2
_PREFIX = bytes([VERSION])
_NIL = b"\xc0"


class CorruptEntryError(Exception):
    """Not an entry of this version, or not of the kind asked for. Carries none of its bytes."""


class _Record(msgspec.Struct, array_like=True, frozen=True):
    fresh_for_s: float
    revalidate_for_s: float
    stale_for_s: float
    value: msgspec.Raw


_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(_Record)


def encode(entry: Entry) -> bytes:
    """The bytes of an entry.

    Raises:
        TypeError, OverflowError, RecursionError: MessagePack has no form for the value.
    """
    record = _Record(
        entry.fresh_until - entry.produced_at,
        entry.revalidate_until - entry.produced_at,
        entry.stale_until - entry.produced_at,
        msgspec.Raw(_encoder.encode(entry.value)),
    )
    return _PREFIX + _encoder.encode(record)


def decode(data: bytes, kind: Any, *, left_s: float, now: float) -> Entry:
    """The entry that `encode` made bytes of.

    Args:
        data: all of it.
        kind: the value's type, as msgspec takes it; a value of None is accepted for every kind.
        left_s: seconds until it is of no more use, as the store counts them.
        now: this process's monotonic seconds.

    Raises:
        CorruptEntryError: it is not what it should be.
    """
    if data[:1] != _PREFIX:
        raise CorruptEntryError("not of this version")
    try:
        record = _record_decoder.decode(memoryview(data)[1:])
        value = None if bytes(record.value) == _NIL else _decoder(kind).decode(record.value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptEntryError("not of the kind that was asked for") from error
    if not 0 <= record.fresh_for_s <= record.revalidate_for_s <= record.stale_for_s < inf:
        raise CorruptEntryError("its times make no sense")
    made = now - max(0.0, record.stale_for_s - left_s)
    times = (made + record.fresh_for_s, made + record.revalidate_for_s, made + record.stale_for_s)
    return Entry(value, made, *times, len(data))


@lru_cache(maxsize=1024)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)
