"""An issuer's keys: rotated, slow, broken, away, and asked for by tokens that name made-up ones."""

import asyncio
import ssl
from pathlib import Path
from random import Random
from typing import Any

import httpx
import jwt
import msgspec
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import JSONResponse, Response

from clients.clock import SystemClock
from gateway.app import create_app
from gateway.config import load
from gateway.identity.keys import BadKeys, KeySet, parse_keys
from tests.gateway.identity.support import ADA, ME, Known, known
from tests.testkit.certificates import make_certificates
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import running_gateway
from tests.testkit.issuer import Issuer, public_jwk, rsa_key
from tests.testkit.raw_server import Connection, raw_server
from tests.testkit.serve import serve
from tests.testkit.waiting import until_true

INVALID = (401, "UNAUTHENTICATED")
UNAVAILABLE = (503, "IDENTITY_UNAVAILABLE")


def made_up(asked: Known, kid: str) -> dict[str, str]:
    """A token that looks good and names a key that nobody has."""
    token = jwt.encode(asked.issuer.claims(), ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": kid})
    return {"authorization": f"Bearer {token}"}


async def test_a_key_that_is_new_is_fetched_when_a_token_names_it() -> None:
    async with known() as asked:
        assert asked.issuer.fetches == 1
        asked.issuer.rotate()
        answers = await asyncio.gather(*(asked.me(asked.issuer.bearer()) for _ in range(5)))
        assert answers == [ADA] * 5
        assert asked.issuer.fetches == 2


async def test_made_up_keys_do_not_have_the_issuer_asked_again_and_again() -> None:
    async with known() as asked:
        issuer = asked.issuer
        issuer.gate.clear()
        waiting = [asyncio.create_task(asked.refused(made_up(asked, f"k{i}"))) for i in range(5)]
        await until_true(lambda: issuer.fetches == 2, "the keys to be asked for")
        issuer.gate.set()
        assert await asyncio.gather(*waiting) == [INVALID] * 5
        for number in range(20):
            assert await asked.refused(made_up(asked, f"n{number}")) == INVALID
        assert issuer.fetches == 2
        await asked.clock.advance(30)
        assert await asked.refused(made_up(asked, "later")) == INVALID
        assert issuer.fetches == 3
        assert await asked.me(issuer.bearer()) == ADA


async def test_tokens_that_could_not_be_good_anyway_fetch_no_keys() -> None:
    async with known() as asked:
        for claims in ({"aud": "other"}, {"iss": "https://evil.example.org/"}, {"exp": 1}):
            key = ec.generate_private_key(ec.SECP256R1())
            token = jwt.encode(asked.issuer.claims(**claims), key, "ES256", headers={"kid": "new"})
            assert await asked.refused({"authorization": f"Bearer {token}"}) == INVALID
        assert asked.issuer.fetches == 1


async def test_a_key_that_is_withdrawn_ends_its_tokens_remembered_ones_too() -> None:
    async with known() as asked:
        old = asked.issuer.bearer()
        assert await asked.me(old) == ADA
        asked.issuer.rotate(keep=False)
        await asked.refreshed()
        assert await asked.refused(old) == INVALID
        assert await asked.me(asked.issuer.bearer()) == ADA


async def test_keys_of_before_stay_when_the_issuer_is_down_and_health_says_so() -> None:
    async with known(ops={"public": True}) as asked:
        issuer = asked.issuer
        issuer.answer = Response("no", 500)
        await asked.refreshed()
        assert (await asked.me(issuer.bearer()))["user"] == "ada"
        [check] = await checks(asked)
        assert check["name"] == "issuer:https://login.example.org/"
        assert check["status"] == "DEGRADED"
        assert check["reason"] == "its keys cannot be fetched: 127.0.0.1 answered 500; those of before stay in use"
        # Whether this one is good can only be told once the issuer is back.
        issuer.rotate()
        assert await asked.refused(issuer.bearer()) == UNAVAILABLE
        issuer.answer = None
        await asked.refreshed()
        assert (await asked.me(issuer.bearer()))["user"] == "ada"
        [check] = await checks(asked)
        assert (check["status"], check["reason"]) == ("OK", None)


async def checks(asked: Known) -> list[dict[str, Any]]:
    answered = await asked.gateway.ask("{ health { checks { name status reason } } }")
    return [check for check in answered.data["health"]["checks"] if check["name"].startswith("issuer")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response("no", 503), "127.0.0.1 answered 503"),
        (Response("", 302, {"location": "http://127.0.0.1:1/"}), "127.0.0.1 answered 302"),
        (Response("<html>"), "is no JWK Set (a JSON object with a list `keys`)"),
        (JSONResponse({"keys": []}), "has no public key for RS256, ES256"),
        (JSONResponse({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}), "has no public key for RS256, ES256"),
        (Response("x" * 300_000), "the answer is larger than 262144 bytes"),
    ],
)
async def test_without_keys_the_gateway_starts_and_refuses_tokens_only(answer: Response, reason: str) -> None:
    clock = ManualClock()
    async with Issuer(clock) as issuer:
        issuer.answer = answer
        config = {
            "imports": ["schema.customers", "tests.gateway.identity.fields"],
            "identity": {"jwt": {"issuers": [issuer.config()]}},
            "ops": {"public": True},
        }
        async with running_gateway(config, clock=clock) as gateway:
            asked = Known(gateway, issuer, clock)
            answered = await asked.ask(issuer.bearer())
            assert (answered.response.status_code, *answered.codes) == UNAVAILABLE
            assert answered.response.headers["retry-after"] == "4"
            assert answered.errors[0]["extensions"]["retryAfter"] == 4
            assert (await asked.me())["user"] is None
            [check] = await checks(asked)
            assert reason in check["reason"]
            assert "tokens are refused until there are some" in check["reason"]
            issuer.answer = None
            await asked.refreshed()
            assert (await asked.me(issuer.bearer()))["user"] == "ada"


async def test_an_issuer_that_does_not_answer_holds_the_start_up_no_longer_than_its_timeout() -> None:
    clock = ManualClock()
    never = asyncio.Event()
    fetches = 0

    async def hang() -> bytes:
        nonlocal fetches
        fetches += 1
        await never.wait()
        return b""

    keys = KeySet(
        "x",
        hang,
        ["ES256"],
        clock=clock,
        random=Random(1),
        tell=lambda _: None,
        on_change=lambda: None,
        refresh_s=300,
        refetch_s=30,
        timeout_s=5,
    )
    async with keys:
        opened = asyncio.create_task(keys.fetched())
        await clock.advance(4.9)
        assert not opened.done()
        await clock.advance(0.2)
        await opened
        assert (
            keys.trouble == "its keys cannot be fetched: no answer within 5 s; tokens are refused until there are some"
        )
        await clock.advance(2)
        assert fetches == 2
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("breakwater keys")]


def test_what_cannot_check_signatures_is_left_out() -> None:
    good = ec.generate_private_key(ec.SECP256R1())
    others = [
        public_jwk(ec.generate_private_key(ec.SECP256R1()), kid="enc", use="enc"),
        public_jwk(ec.generate_private_key(ec.SECP384R1()), kid="p384"),
        public_jwk(ec.generate_private_key(ec.SECP256R1()), kid="alg", alg="ES384"),
        public_jwk(ec.generate_private_key(ec.SECP256R1()), kid="ops", key_ops=["sign"]),
        public_jwk(rsa_key(1024), kid="short"),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off"},
        {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "odd"},
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        "key",
        None,
    ]
    keys = parse_keys(
        msgspec.json.encode({"keys": [*others, public_jwk(good, kid="good", key_ops=["verify"])]}), ["ES256", "RS256"]
    )
    assert keys.find("good", "ES256") is not None
    assert keys.find("good", "RS256") is None
    assert keys.find(None, "ES256") is keys.find("good", "ES256")
    for other in ("enc", "p384", "alg", "ops", "short", "off", "odd", "secret"):
        assert keys.find(other, "ES256") is keys.find(other, "RS256") is None
    with pytest.raises(BadKeys, match="more than 100 keys"):
        parse_keys(msgspec.json.encode({"keys": [{}] * 101}), ["ES256"])


async def test_keys_may_be_in_a_file_and_the_file_replaced(tmp_path: Path) -> None:
    clock = ManualClock()
    issuer = Issuer(clock)
    file = tmp_path / "keys.json"
    file.write_bytes(msgspec.json.encode(issuer.jwks()))
    entry = {"issuer": issuer.name, "jwks": "keys.json", "audiences": [issuer.audience]}
    text = {"imports": ["tests.gateway.identity.fields"], "identity": {"jwt": {"issuers": [entry]}}}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(text))
    async with (
        serve(create_app(load(tmp_path / "gateway.yaml"), clock=clock)) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):

        async def status() -> int:
            return (await http.post("/graphql", json={"query": ME}, headers=issuer.bearer())).status_code

        assert await status() == 200
        issuer.rotate()
        file.write_bytes(msgspec.json.encode(issuer.jwks()))
        assert await status() == 200
        file.write_text("{")
        clock.jump(300)
        await clock.settle()
        assert await status() == 200


async def test_keys_are_fetched_over_tls_from_whom_the_configuration_trusts(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    clock = SystemClock()
    issuer = Issuer(clock)

    async def serve_keys(connection: Connection) -> None:
        await connection.request()
        body = msgspec.json.encode(issuer.jwks())
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.server)
    async with raw_server(serve_keys, tls=context) as server:
        for tls, expected in (({"ca_files": [str(made.authority)]}, 200), (None, 503)):
            entry = {"issuer": issuer.name, "jwks": server.url, "audiences": [issuer.audience], "tls": tls}
            config = {"identity": {"jwt": {"issuers": [entry]}}}
            async with running_gateway(config, clock=clock) as gateway:
                answered = await gateway.ask("{ __typename }", issuer.bearer())
                assert answered.response.status_code == expected
