"""Signed requests: what RFC 9421 says, what a change of any part does, and what arrives over a socket."""

import hmac
import re
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.auth import Secret, SignatureInvalid, Signer, Verified, sign, verify
from clients.auth.signing import _base
from tests.clients.auth.support import authorized
from tests.clients.support import ONE, REST_ONLY, SEARCH, ask, ask_one
from tests.testkit.clock import ManualClock

KEY = b"0123456789abcdef0123456789abcdef"
NOW = 1_767_225_600
URL = "http://crm:8080/api/customers?ids=1,2"
HEADERS = {"content-type": "application/json", "x-tenant-id": "acme"}
BODY = b'{"a":1}'


def signed(**changes: Any) -> dict[str, str]:
    parts: dict[str, Any] = {"key": KEY, "key_id": "gateway", "created": NOW, "nonce": "n-1", **changes}
    return {**HEADERS, **sign("POST", URL, HEADERS, BODY, **parts)}


def check(headers: dict[str, str], **changes: Any) -> Verified:
    given: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "body": BODY,
        "keys": {"gateway": KEY},
        "now": NOW,
        **changes,
    }
    return verify(given.pop("method"), given.pop("url"), headers, given.pop("body"), **given)


def test_the_example_of_the_rfc() -> None:
    """RFC 9421 appendix B.2.5."""
    key = b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    headers = {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json"}
    params = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    components = ["date", "@authority", "content-type"]
    base = _base("POST", "https://example.com/foo?param=Value&Pet=dog", headers, components, params)
    signature = b64encode(hmac.digest(key, base, "sha256")).decode()
    assert signature == "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="


def test_the_headers_of_a_signed_request() -> None:
    """Of these very headers http-message-signatures 3.0.0 says that they are good."""
    assert sign("POST", URL, HEADERS, BODY, key=KEY, key_id="gateway", created=NOW, nonce="n-1") == {
        "content-digest": "sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:",
        "signature-input": 'sig1=("@method" "@authority" "@path" "@query" "content-digest");created=1767225600;'
        'nonce="n-1";keyid="gateway";alg="hmac-sha256"',
        "signature": "sig1=:NAH0SdxaV7gIF/PCy6iBzhR76oRbDEKzNY4uetPu1vw=:",
    }


@pytest.mark.parametrize(
    ("url", "authority", "path", "query"),
    [
        ("https://Crm.Example:443", "crm.example", "/", "?"),
        ("http://crm:443/a", "crm:443", "/a", "?"),
        ("http://[::1]:8080/a%20b?c=%C3%BC", "[::1]:8080", "/a%20b", "?c=%C3%BC"),
    ],
)
def test_how_an_address_is_taken_apart(url: str, authority: str, path: str, query: str) -> None:
    base = _base("GET", url, {}, ["@method", "@authority", "@path", "@query"], "()").decode()
    lines = [f'"@method": GET\n"@authority": {authority}', f'"@path": {path}', f'"@query": {query}']
    assert base == "\n".join([*lines, '"@signature-params": ()'])


def test_who_signed_and_when_comes_back() -> None:
    assert check(signed()) == Verified("gateway", "n-1", NOW)


def test_two_keys_at_once_let_a_key_be_rotated() -> None:
    keys = {"gateway": b"other" * 4, "gateway-2": KEY}
    assert check(signed(key_id="gateway-2"), keys=keys).key_id == "gateway-2"
    assert check(signed(key_id="gateway-2"), keys=keys.get).key_id == "gateway-2"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_request_is_good_for_as_long_as_its_age_is_tolerated(seconds: int) -> None:
    check(signed(), now=NOW + seconds)
    with pytest.raises(SignatureInvalid, match="too old, or one of the clocks"):
        check(signed(), now=NOW + seconds + (1 if seconds > 0 else -1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "PUT"}, "another one"),
        ({"url": URL + "&x=1"}, "another one"),
        ({"url": URL.replace("api", "apj")}, "another one"),
        ({"url": URL.replace("crm", "erp")}, "another one"),
        ({"url": URL.replace("8080", "8081")}, "another one"),
        ({"body": b"{}"}, "the body is another one"),
        ({"keys": {"gateway": b"x" * 32}}, "another one"),
        ({"keys": {}}, "the key is not known"),
        ({"covered": ("x-tenant-id",)}, "not signed: x-tenant-id"),
    ],
)
def test_what_was_not_signed_like_this_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SignatureInvalid, match=expected):
        check(signed(), **changes)


def test_a_covered_header_can_be_neither_changed_nor_taken_away() -> None:
    good = signed(covered=("x-tenant-id", "x-absent"))
    assert '"content-digest" "x-tenant-id")' in good["signature-input"]
    check(good, covered=("x-tenant-id", "x-absent"))
    with pytest.raises(SignatureInvalid, match="another one"):
        check({**good, "x-tenant-id": "evil"})
    with pytest.raises(SignatureInvalid, match="signed, but not sent: x-tenant-id"):
        check({name: value for name, value in good.items() if name != "x-tenant-id"})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("signature", lambda _: ""),
        ("signature", lambda v: v.replace("sig1", "sig2")),
        ("signature", lambda _: "sig1=::"),
        ("signature-input", lambda _: ""),
        ("signature-input", lambda v: v + ', sig2=("@method")'),
        ("signature-input", lambda v: v.replace("hmac-sha256", "none")),
        ("signature-input", lambda v: v.replace('"@method" ', "")),
        ("signature-input", lambda v: v.replace('"@method" ', '"@method" "@method" ')),
        ("signature-input", lambda v: v.replace('"@method" ', '"@status" "@method" ')),
        ("signature-input", lambda v: v.replace(str(NOW), str(NOW + 1))),
        ("signature-input", lambda v: v.replace("n-1", "n-2")),
        ("content-digest", lambda _: ""),
    ],
)
def test_a_header_that_was_tampered_with_is_refused(name: str, change: Any) -> None:
    headers = signed()
    with pytest.raises(SignatureInvalid):
        check({**headers, name: change(headers[name])})


words = st.text("abcdefghij-_.~%0123456789", max_size=12)
parts = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        "host": st.from_regex(r"[a-z][a-z0-9]{0,8}(:[1-9][0-9]{1,3})?", fullmatch=True),
        "path": words.map(lambda w: "/" + w),
        "query": words,
        "body": st.binary(max_size=40),
        "tenant": st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
        "created": st.integers(0, 2**40),
        "nonce": st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
        "key": st.binary(min_size=16, max_size=64),
        "key_id": st.from_regex(r"[a-z0-9 ]{1,10}", fullmatch=True),
    }
)


def signed_parts(p: dict[str, Any]) -> dict[str, str]:
    headers = {"x-tenant-id": p["tenant"]}
    url = f"http://{p['host']}{p['path']}?{p['query']}"
    more = {name: p[name] for name in ("key", "key_id", "created", "nonce")}
    return sign(p["method"], url, headers, p["body"], covered=("x-tenant-id",), **more)


@given(parts)
def test_what_is_signed_verifies(p: dict[str, Any]) -> None:
    url = f"http://{p['host']}{p['path']}?{p['query']}"
    headers = {"x-tenant-id": p["tenant"], **signed_parts(p)}
    found = verify(p["method"], url, headers, p["body"], keys={p["key_id"]: p["key"]}, now=p["created"])
    assert found == Verified(p["key_id"], p["nonce"], p["created"])


@given(parts, parts)
def test_a_change_of_any_part_gives_another_signature(one: dict[str, Any], other: dict[str, Any]) -> None:
    before = signed_parts(one)
    for name, value in other.items():
        changed = {**one, name: value}
        if value != one[name] and not (name == "key" and _same_key(value, one[name])):
            assert signed_parts(changed)["signature"] != before["signature"], name


def _same_key(one: bytes, other: bytes) -> bool:
    return one.rstrip(b"\0") == other.rstrip(b"\0")  # RFC 2104 pads keys with zeros


@given(st.text(max_size=200), st.text(max_size=80))
def test_whatever_the_headers_hold_it_is_refused_and_nothing_else_is_raised(given_input: str, signature: str) -> None:
    for headers in (
        {"signature-input": given_input, "signature": signature},
        {**signed(), "signature-input": given_input},
        {**signed(), "signature": signature},
    ):
        with pytest.raises(SignatureInvalid):
            check(headers)


@pytest.mark.parametrize(
    "call", [ask_one(declared=ONE), ask_one("a b/ü", declared=REST_ONLY), ask(1, 2, declared=SEARCH)]
)
async def test_what_reaches_an_upstream_verifies_there(call: Any) -> None:
    clock = ManualClock()
    signer = Signer("gateway", Secret(KEY.decode()), ("x-request-id",), clock)
    only = {} if call.operation is ONE else {"graphql": None}
    async with authorized(signer, clock=clock, **only) as rig:
        for _ in range(2):
            await rig.execute(call)
        received = [*rig.script.graphql.calls, *rig.script.rest.calls]
        url = rig.script.url
    verified = [
        verify(
            one.method,
            f"{url}{one.raw_path}",
            one.headers,
            one.body,
            keys={"gateway": KEY},
            now=clock.wall().timestamp(),
            covered=("x-request-id",),
        )
        for one in received
    ]
    assert len({one.nonce for one in verified}) == 2
    assert all(re.fullmatch(r"[\w-]{20,}", one.nonce) for one in verified)
