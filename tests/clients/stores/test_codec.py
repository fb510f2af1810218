from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.stores import codec
from clients.stores.base import Entry

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
SECONDS = st.floats(0, 1e6)
NAN, INF = float("nan"), float("inf")


class Customer(msgspec.Struct):
    id: str
    tags: list[str]


SHARE = st.floats(0, 1)


@given(value=VALUES, times=st.tuples(SECONDS, SECONDS), revalidate=SHARE, age=SHARE, now=st.floats(0, 1e6))
def test_what_was_encoded_is_decoded_with_its_age(
    value: Any, times: tuple[float, float], revalidate: float, age: float, now: float
) -> None:
    max_age_s, stale_s = times
    fresh_until = 50.0 + max_age_s
    entry = Entry(value, 50.0, fresh_until, fresh_until + revalidate * stale_s, fresh_until + stale_s, 7)
    aged_s = age * (max_age_s + stale_s)
    data = codec.encode(entry)
    decoded = codec.decode(data, Any, left_s=max_age_s + stale_s - aged_s, now=now)
    assert decoded.value == value
    assert decoded.produced_at == pytest.approx(now - aged_s, abs=1e-3)
    assert decoded.fresh_until - decoded.produced_at == pytest.approx(max_age_s, abs=1e-3)
    revalidated_s = max_age_s + revalidate * stale_s
    assert decoded.revalidate_until - decoded.produced_at == pytest.approx(revalidated_s, abs=1e-3)
    assert decoded.stale_until - decoded.produced_at == pytest.approx(max_age_s + stale_s, abs=1e-3)
    assert decoded.size == len(data)


@given(st.builds(Customer, st.text(), st.lists(st.text())))
def test_a_value_comes_back_as_its_kind(customer: Customer) -> None:
    data = codec.encode(Entry([customer], 0, 10, 15, 20, 1))
    assert codec.decode(data, list[Customer], left_s=20, now=0).value == [customer]


def test_the_knowledge_that_there_is_nothing_is_kept_for_every_kind() -> None:
    data = codec.encode(Entry(None, 0, 10, 15, 20, 1))
    assert codec.decode(data, Customer, left_s=20, now=0).value is None


@given(st.binary())
def test_any_other_bytes_are_corrupt(data: bytes) -> None:
    for bytes_ in (data, bytes([codec.VERSION]) + data):
        with pytest.raises(codec.CorruptEntryError):
            codec.decode(bytes_, Customer, left_s=1, now=0)


@pytest.mark.parametrize("kind", [int, dict[str, int], list[int]])
def test_another_kind_is_corrupt(kind: Any) -> None:
    data = codec.encode(Entry(Customer("1", []), 0, 10, 15, 20, 1))
    with pytest.raises(codec.CorruptEntryError):
        codec.decode(data, kind, left_s=20, now=0)


def test_every_cut_is_corrupt() -> None:
    data = codec.encode(Entry(Customer("1", ["a", "b"]), 0, 10, 15, 20, 1))
    for length in range(len(data)):
        with pytest.raises(codec.CorruptEntryError):
            codec.decode(data[:length], Customer, left_s=20, now=0)


def test_another_version_is_corrupt() -> None:
    data = codec.encode(Entry(1, 0, 10, 15, 20, 1))
    with pytest.raises(codec.CorruptEntryError):
        codec.decode(bytes([codec.VERSION + 1]) + data[1:], int, left_s=20, now=0)


@pytest.mark.parametrize("times", [(NAN, NAN, NAN), (1, 1, INF), (-5, -1, -1), (2, 1, 3), (1, 4, 3)])
def test_times_that_make_no_sense_are_corrupt(times: tuple[float, ...]) -> None:
    data = bytes([codec.VERSION]) + msgspec.msgpack.encode([*times, 1])
    with pytest.raises(codec.CorruptEntryError):
        codec.decode(data, int, left_s=20, now=0)


def test_a_value_nested_beyond_reason_is_corrupt() -> None:
    data = bytes([codec.VERSION]) + b"\x94" + b"\xca\x42\x48\x00\x00" * 3 + b"\x91" * 100_000 + b"\x01"
    with pytest.raises(codec.CorruptEntryError):
        codec.decode(data, Any, left_s=20, now=0)
