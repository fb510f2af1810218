"""Two callers share a kept answer only if nothing tells them apart, or the operation is declared public."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.call import Call, Caller
from clients.policy import ServicePolicy
from clients.service import Service
from clients.stages.cache_key import CacheKeys, key_prefix
from tests.clients.support import FIRST, MANY, ONE, PUBLIC

FORWARD = ("x-request-id", "x-correlation-id", "authorization", "x-tenant-id", "accept-language", "x-region")
PLAIN = Service("crm", ServicePolicy(), rest="http://127.0.0.1")
VARYING = replace(PLAIN, forward=FORWARD)

REORDERED = replace(VARYING, forward=tuple(reversed(FORWARD)))

TEXT = st.text(st.sampled_from(["a", "b", "\x1f", '"', ",", "\\", " "]), max_size=4)
HEADERS = st.dictionaries(st.sampled_from(["accept-language", "x-region", "x-unrelated"]), TEXT)
CALLERS = st.builds(
    Caller,
    request_id=TEXT,
    correlation_id=TEXT,
    tenant=st.none() | TEXT,
    user=st.none() | TEXT,
    authorization=st.none() | TEXT,
    deadline=st.none() | st.floats(0, 10),
    headers=HEADERS,
)


def identity(caller: Caller, service: Service) -> object:
    """What the answer may depend on, written down naively."""
    sent = {n: caller.headers.get(n) for n in ("accept-language", "x-region")} if service is VARYING else None
    return caller.tenant, caller.user, caller.authorization, sent


@pytest.mark.parametrize("service", [PLAIN, VARYING], ids=["plain", "varying"])
@given(one=CALLERS, other=CALLERS)
def test_keys_are_equal_exactly_when_the_callers_are_the_same_principal_with_the_same_headers(
    service: Service, one: Caller, other: Caller
) -> None:
    keys = CacheKeys(service)
    same = identity(one, service) == identity(other, service)
    assert (keys.whole(Call(ONE, {"id": "1"}, one)) == keys.whole(Call(ONE, {"id": "1"}, other))) is same
    rows = [keys.rows(Call(MANY, {"ids": ["1"]}, caller), ["1"]) for caller in (one, other)]
    assert (rows[0] == rows[1]) is same


@given(one=CALLERS, other=CALLERS)
def test_public_operations_are_shared_by_all(one: Caller, other: Caller) -> None:
    keys = CacheKeys(VARYING)
    assert keys.rows(Call(PUBLIC, {}, one), ["1"]) == keys.rows(Call(PUBLIC, {}, other), ["1"])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([1.0, 0.5, "1", "true", "null", "\u00e9", "e\u0301", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(one=st.dictionaries(TEXT, JSON, max_size=3), other=st.dictionaries(TEXT, JSON, max_size=3))
def test_variables_have_one_key_exactly_when_their_json_is_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    keys, caller = CacheKeys(PLAIN), Caller("r", "c")
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    for key in (keys.whole, keys.in_flight):
        assert (key(Call(ONE, one, caller)) == key(Call(ONE, other, caller))) is same


@given(one=CALLERS, other=CALLERS)
def test_calls_in_flight_are_told_apart_as_kept_answers_are(one: Caller, other: Caller) -> None:
    keys = CacheKeys(VARYING)
    for operation in (ONE, PUBLIC):
        calls = [Call(operation, {"id": "1"}, caller) for caller in (one, other)]
        assert (keys.in_flight(calls[0]) == keys.in_flight(calls[1])) is (keys.whole(calls[0]) == keys.whole(calls[1]))


@given(language=TEXT, region=TEXT)
def test_headers_do_not_change_places_between_services_that_share_a_store(language: str, region: str) -> None:
    call = Call(ONE, {}, Caller("r", "c", headers={"accept-language": language, "x-region": region}))
    swapped = Call(ONE, {}, Caller("r", "c", headers={"accept-language": region, "x-region": language}))
    assert CacheKeys(VARYING).whole(call) != CacheKeys(REORDERED).whole(swapped)


def test_an_operation_made_public_does_not_find_what_was_kept_for_one_caller() -> None:
    call, caller = replace(PUBLIC, public=False), Caller("r", "c")
    keys = CacheKeys(PLAIN)
    assert keys.rows(Call(PUBLIC, {}, caller), ["1"]) != keys.rows(Call(call, {}, caller), ["1"])


@given(st.lists(st.text("ab", min_size=30, max_size=50), unique=True, max_size=8))
def test_long_keys_are_digested_and_stay_apart(ids: list[str]) -> None:
    keys = CacheKeys(PLAIN).rows(Call(MANY, {"ids": ids}, Caller("r", "c")), ids)
    assert len(set(keys)) == len(ids)
    names = key_prefix(PLAIN.name, MANY.name) + b"\0"
    assert all(len(key) <= len(names) + 24 + 40 for key in keys)


@given(st.lists(st.integers(1, 50) | st.text(max_size=3), unique_by=str, max_size=10))
def test_a_row_has_the_same_key_in_every_batch_and_different_rows_have_different_ones(ids: list[object]) -> None:
    keys, caller = CacheKeys(PLAIN), Caller("r", "c")
    together = keys.rows(Call(MANY, {"ids": ids}, caller), ids)
    assert together == [keys.rows(Call(MANY, {"ids": [i]}, caller), [i])[0] for i in ids]
    assert len(set(together)) == len(ids)


def test_operations_services_and_variables_have_keys_of_their_own() -> None:
    caller = Caller("r", "c")
    calls = [Call(ONE, {"id": "1"}, caller), Call(ONE, {"id": "2"}, caller), Call(FIRST, {"id": "1"}, caller)]
    services = [PLAIN, replace(PLAIN, name="erp")]
    assert len({CacheKeys(service).whole(call) for service in services for call in calls}) == 6
    with pytest.raises(TypeError, match="customer is not a batched operation"):
        CacheKeys(PLAIN).rows(calls[0], ["1"])
