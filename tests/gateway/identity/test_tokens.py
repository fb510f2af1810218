"""Tokens that clients send: what a good one tells, and which are refused, asked over HTTP."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.warnings import InsecureKeyLengthWarning
from starlette.responses import JSONResponse

from tests.gateway.identity.support import ADA, NOBODY, Known, known
from tests.testkit.gateway import running_gateway
from tests.testkit.issuer import Issuer, public_jwk, raw_token, rsa_key

INVALID = (401, "UNAUTHENTICATED")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def shared() -> AsyncIterator[Known]:
    async with known(issuer={"algorithms": ["ES256", "RS256", "EdDSA"]}) as asked:
        yield asked


async def test_a_good_token_names_user_tenant_and_scopes() -> None:
    claims = {"tenant_claim": "org.id", "roles_claim": "realm_access.roles"}
    async with known(issuer=claims) as asked:
        assert await asked.me(asked.issuer.bearer()) == ADA
        token = asked.issuer.bearer(
            org={"id": "acme"}, scope="read write", scp=["more"], realm_access={"roles": ["boss", 5, ""]}
        )
        assert await asked.me(token) == {
            "user": "ada",
            "tenant": "acme",
            "authenticated": True,
            "scopes": ["boss", "more", "read", "write"],
        }
        assert await asked.me() == NOBODY
        assert await asked.me({"authorization": "Basic YTpi"}) == NOBODY


async def test_claims_may_be_named_by_a_url_and_be_numbers() -> None:
    named = {"user_claim": "uid", "tenant_claim": "https://example.org/tenant"}
    async with known(issuer=named) as asked:
        told = await asked.me(asked.issuer.bearer(uid=7, **{"https://example.org/tenant": "acme"}))
        assert (told["user"], told["tenant"]) == ("7", "acme")
        told = await asked.me(asked.issuer.bearer(sub="x", aud=["other", "breakwater"]))
        assert (told["user"], told["tenant"], told["authenticated"]) == (None, None, True)


OTHER_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://evil.example.org/"},
    {"iss": ["https://login.example.org/"]},
    {"iss": None},
    {"aud": "other"},
    {"aud": None},
    {"aud": {"breakwater": 1}},
    {"exp": None},
    {"exp": "soon"},
    {"exp": True},
    {"exp": 10**400},
    {"nbf": -(10**400)},
    {"sub": 10**4000},
    {"nbf": 4_000_000_000},
    {"nbf": "now"},
    {"sub": ["ada"]},
    {"sub": "ada\r\nx-evil: 1"},
    {"sub": " ada"},
    {"sub": "a" * 300},
]


async def test_a_signed_token_with_other_claims_is_refused(shared: Known) -> None:
    key, kid = shared.issuer.keys[shared.issuer.kid], shared.issuer.kid
    for other in OTHER_CLAIMS:
        claims = {name: value for name, value in {**shared.issuer.claims(), **other}.items() if value is not None}
        unchecked = jwt.PyJWS().encode(json.dumps(claims).encode(), key, "ES256", headers={"kid": kid})
        answered = await shared.ask(bearer(unchecked))
        assert answered.response.status_code == 401, other
        assert answered.codes == ["UNAUTHENTICATED"]
        assert answered.errors[0]["message"] == "The token is not valid here."
        assert answered.errors[0]["extensions"]["category"] == "authentication"
        assert answered.response.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


async def test_forged_tokens_are_refused(shared: Known) -> None:
    issuer = shared.issuer
    good = issuer.token()
    head, body, signature = good.split(".")
    public = issuer.keys[issuer.kid].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kid, claims = issuer.kid, issuer.claims()
    stranger = ec.generate_private_key(ec.SECP256R1())
    by_stranger = jwt.encode(claims, stranger, "ES256", headers={"kid": kid})
    forged = {
        "no algorithm": raw_token({"alg": "none", "kid": kid}, claims),
        "no algorithm, in capitals": raw_token({"alg": "NONE", "kid": kid}, claims),
        "the public key as a shared secret": _hmac(pem, kid, claims),
        "the key's own words as a shared secret": _hmac(json.dumps(issuer.jwks()["keys"][0]).encode(), kid, claims),
        "another's signature": by_stranger,
        "another's signature, its key along": jwt.encode(
            claims, stranger, "ES256", headers={"kid": kid, "jwk": public_jwk(stranger)}
        ),
        "keys from an address of its own": jwt.encode(
            claims, stranger, "ES256", headers={"kid": kid, "jku": "http://127.0.0.1:1/jwks"}
        ),
        "another algorithm": jwt.encode(claims, rsa_key(), "RS256", headers={"kid": kid}),
        "an algorithm that is no text": raw_token({"alg": ["ES256"], "kid": kid}, claims, b"x"),
        "no signature": f"{head}.{body}.",
        "a signature cut short": good[:-6],
        "other claims": f"{head}.{raw_token({}, issuer.claims(sub='root')).split('.')[1]}.{signature}",
        "critical extensions": jwt.encode(
            claims, issuer.keys[kid], "ES256", headers={"kid": kid, "crit": ["exp"], "exp": 1}
        ),
        "an unencoded payload": raw_token({"alg": "ES256", "kid": kid, "b64": False, "crit": ["b64"]}, b"", b"x"),
        "a kid that is no text": raw_token({"alg": "ES256", "kid": {"a": 1}}, claims, b"x"),
        "a claim set that is no object": raw_token({"alg": "ES256", "kid": kid}, [1], b"x"),
        "nested without end": raw_token({"alg": "ES256", "kid": kid}, b"[" * 4_000, b"x"),
        "not JSON": raw_token({"alg": "ES256", "kid": kid}, b"{", b"x"),
        "an encrypted token": "a.b.c.d.e",
        "two parts": f"{head}.{body}",
        "not base64": "a%.b%.c%",
        "twice": f"{good}, Bearer {good}",
        "too large": f"{head}.{body}{'A' * 9_000}.{signature}",
    }
    for what, token in forged.items():
        assert await shared.refused(bearer(token)) == INVALID, what
    assert await shared.me(bearer(good)) == ADA


def _hmac(secret: bytes, kid: str, claims: dict[str, Any]) -> str:
    """What a verifier that trusts the header's `alg` would take for good."""
    signed = raw_token({"alg": "HS256", "kid": kid}, claims).rpartition(".")[0]
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return f"{signed}.{signature}"


async def test_each_algorithm_is_checked_with_a_key_of_its_own_kind(shared: Known) -> None:
    issuer = shared.issuer
    edwards = ed25519.Ed25519PrivateKey.generate()
    issuer.keys |= {"rsa": rsa_key(), "short": rsa_key(1024), "okp": edwards}
    kinds = {"rsa": "RS256", "short": "RS256", "okp": "EdDSA", issuer.kid: "ES256"}
    issuer.answer = JSONResponse(
        {"keys": [public_jwk(key, kid=kid, alg=kinds[kid]) for kid, key in issuer.keys.items()]}
    )
    await shared.refreshed()
    claims = issuer.claims()
    for kid, algorithm in kinds.items():
        with pytest.warns(InsecureKeyLengthWarning) if kid == "short" else nullcontext():
            token = jwt.encode(claims, issuer.keys[kid], algorithm, headers={"kid": kid})
        if kid == "short":
            assert await shared.refused(bearer(token)) == INVALID
        else:
            assert await shared.me(bearer(token)) == ADA
    assert await shared.refused(bearer(jwt.encode(claims, rsa_key(), "PS256", headers={"kid": "rsa"}))) == INVALID


async def test_a_token_without_a_key_id_is_checked_with_the_only_key_there_is(shared: Known) -> None:
    issuer = shared.issuer
    token = jwt.encode(issuer.claims(), issuer.keys[issuer.kid], "ES256")
    assert await shared.me(bearer(token)) == ADA
    issuer.rotate()
    await shared.refreshed()
    assert await shared.refused(bearer(token)) == INVALID


async def test_a_token_ends_when_it_says_and_the_client_is_told_so() -> None:
    async with known(jwt={"leeway_s": 10, "refresh_s": 10_000}) as asked:
        token = asked.issuer.bearer()
        early = asked.issuer.bearer(nbf=int(asked.clock.wall().timestamp()) + 30)
        assert await asked.me(token) == ADA
        assert await asked.refused(early) == INVALID
        await asked.clock.advance(20)
        assert await asked.me(early) == ADA
        await asked.clock.advance(3589)
        assert await asked.me(token) == ADA
        await asked.clock.advance(1)
        answered = await asked.ask(token)
        assert answered.response.status_code == 401
        assert answered.errors[0]["message"] == "The token has expired; get a new one."


async def test_who_may_not_ask_learns_nothing_of_the_schema() -> None:
    async with known(identity={"required": True}) as asked:
        answered = await asked.gateway.ask("{ nonsense")
        assert answered.codes == ["UNAUTHENTICATED"]
        assert answered.errors[0]["message"] == "A credential is needed, and none was sent."
        assert answered.response.headers["www-authenticate"] == "Bearer"
        assert await asked.me(asked.issuer.bearer()) == ADA


async def test_a_token_is_checked_once() -> None:
    async with known(jwt={"cached_tokens": 2, "refresh_s": 10_000}) as asked:
        tokens = [asked.issuer.bearer(sub=f"u{i}") for i in range(4)]
        for number, token in enumerate(tokens):
            for _ in range(2):
                assert (await asked.me(token))["user"] == f"u{number}"
        await asked.clock.advance(301)  # remembered no longer than that
        assert (await asked.me(tokens[3]))["user"] == "u3"


async def test_several_issuers_are_told_apart() -> None:
    async with known() as asked, Issuer(asked.clock, "https://other.example.org/", "other") as other:
        config = {
            "mode": "production",
            "imports": ["schema.customers", "tests.gateway.identity.fields"],
            "identity": {"jwt": {"issuers": [asked.issuer.config(), other.config(user_claim="uid")]}},
        }
        async with running_gateway(config, clock=asked.clock) as gateway:
            both = Known(gateway, asked.issuer, asked.clock)
            assert await both.me(asked.issuer.bearer()) == ADA
            assert (await both.me(other.bearer(uid="bob")))["user"] == "bob"
            # Signed by one in the name of the other, or meant for the other's audience.
            assert await both.refused(other.bearer(iss=asked.issuer.name, aud="breakwater")) == INVALID
            assert await both.refused(other.bearer(aud="breakwater")) == INVALID
