"""Who sees the state of the gateway: operators, by a scope or by the admin token."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import httpx
import pytest
from graphql import OperationDefinitionNode
from graphql import parse as parse_document

from gateway.config import ConfigError, parse
from gateway.identity.opening import open_identity
from gateway.identity.operators import Operators
from gateway.local_execution.prepared import Prepared
from schema.build import build_schema
from schema.context import OpsAccess
from tests.gateway.identity.support import ME, known
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Answered, Gateway, running_gateway

TOKEN = "correct-horse-battery"
STATE = "{ upstreams { name } health { status startedAt checks { name reason } load { inFlight } } }"
PRODUCTION = {
    "mode": "production",
    "imports": ["schema.customers", "tests.gateway.identity.fields"],
    "identity": {},
}
OPEN = {"upstreams", "health"}


async def seen(gateway: Gateway, headers: Mapping[str, str] | None = None) -> bool:
    """Whether the state is shown; if it is not, all of it is hidden but the status."""
    answered = await gateway.ask(STATE, headers)
    assert answered.data["health"]["status"] == "OK"
    if not answered.errors:
        assert len(answered.data["upstreams"]) >= 3
        assert answered.data["health"]["checks"]
        return True
    assert answered.response.status_code == 200
    assert answered.data == {
        "upstreams": None,
        "health": {"status": "OK", "startedAt": None, "checks": None, "load": None},
    }
    assert len(answered.errors) == 4
    return False


def refusal(answered: Answered) -> tuple[str, str, str]:
    first = answered.errors[0]
    assert {error["message"] for error in answered.errors} == {first["message"]}
    return first["message"], first["extensions"]["code"], first["extensions"]["category"]


async def test_in_production_nobody_sees_it_until_it_is_said_who_may() -> None:
    async with running_gateway(PRODUCTION) as gateway:
        assert not await seen(gateway)
        assert not await seen(gateway, {"x-admin-token": ""})
        message, code, category = refusal(await gateway.ask(STATE))
        assert (code, category) == ("UNAUTHENTICATED", "authentication")
        assert message == (
            "This is for operators only: nobody is one until ops.admin_token is set, or identity.jwt knows tokens "
            "with the scope breakwater:ops."
        )
        health = await gateway.http.get("/health")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})


async def test_in_development_everybody_does_until_it_is_said_who_may() -> None:
    async with running_gateway({**PRODUCTION, "mode": "development"}) as gateway:
        assert await seen(gateway)
        assert (await gateway.ask(ME)).data["me"] == {
            "user": None,
            "tenant": None,
            "authenticated": False,
            "scopes": ["breakwater:ops"],
        }
    async with running_gateway({**PRODUCTION, "mode": "development", "ops": {"admin_token": TOKEN}}) as gateway:
        assert not await seen(gateway)


async def test_it_may_be_public() -> None:
    async with running_gateway({**PRODUCTION, "ops": {"public": True}}) as gateway:
        assert await seen(gateway)
        assert len((await gateway.http.get("/health")).json()["checks"]) == 4
    async with running_gateway({**PRODUCTION, "mode": "development", "ops": {"public": False}}) as gateway:
        assert not await seen(gateway)


async def test_the_admin_token_makes_an_operator_and_goes_no_further() -> None:
    forwards = {"services": {"customers": {"forward": ["authorization", "x-request-id"]}}}
    async with running_gateway({**PRODUCTION, "ops": {"admin_token": TOKEN}, **forwards}) as gateway:
        assert not await seen(gateway)
        assert refusal(await gateway.ask(STATE))[0] == (
            "This is for operators only: send the admin token in x-admin-token."
        )
        for headers in ({"x-admin-token": TOKEN}, {"authorization": f"Bearer {TOKEN}"}):
            assert await seen(gateway, headers)
            assert (await gateway.http.get("/health", headers=headers)).json()["checks"]
            told = (await gateway.ask(ME, headers)).data["me"]
            assert (told["authenticated"], told["scopes"]) == (True, ["breakwater:ops"])
            await gateway.ask('{ customer(id: "1") { name } }', headers)
            assert TOKEN not in str(gateway.customers.graphql.calls[-1].headers)
        # Somebody else's bearer token is no attempt at ours, and goes where the service wants it.
        for number in range(20):
            answered = await gateway.ask('{ customer(id: "1") { name } }', {"authorization": f"Bearer mine{number}"})
            assert answered.errors == []
        assert gateway.customers.graphql.calls[-1].headers["authorization"] == "Bearer mine19"
        assert await seen(gateway, {"x-admin-token": TOKEN, "authorization": "Bearer mine"})


async def test_guessing_the_admin_token_is_slow() -> None:
    clock = ManualClock()
    async with running_gateway({**PRODUCTION, "ops": {"admin_token": TOKEN}}, clock=clock) as gateway:
        for number in range(10):
            answered = await gateway.ask(ME, {"x-admin-token": f"guess-{number}"})
            assert (answered.response.status_code, *answered.codes) == (401, "UNAUTHENTICATED")
        for guess in ("guess", TOKEN):  # not even compared
            answered = await gateway.ask(ME, {"x-admin-token": guess})
            assert (answered.response.status_code, *answered.codes) == (429, "RATE_LIMITED")
            assert answered.response.headers["retry-after"] == "10"
        assert (await gateway.http.get("/health", headers={"x-admin-token": TOKEN})).json() == {"status": "ok"}
        assert (await gateway.ask(ME)).errors == []
        await clock.advance(10)
        assert await seen(gateway, {"x-admin-token": TOKEN})
        # As a bearer token it is not looked at any more after too many others.
        for number in range(11):
            await gateway.ask(ME, {"authorization": f"Bearer guess{number}"})
        assert not await seen(gateway, {"authorization": f"Bearer {TOKEN}"})


async def test_guesses_count_for_the_address_that_a_proxy_names() -> None:
    config = {**PRODUCTION, "identity": {"trusted_proxies": ["127.0.0.1/32"]}, "ops": {"admin_token": TOKEN}}
    async with running_gateway(config, clock=ManualClock()) as gateway:
        for _ in range(11):
            answered = await gateway.ask(ME, {"x-admin-token": "guess", "x-forwarded-for": "1.1.1.1, 198.51.100.7"})
        assert answered.codes == ["RATE_LIMITED"]
        assert await seen(gateway, {"x-admin-token": TOKEN, "x-forwarded-for": "198.51.100.8"})


async def test_the_admin_token_may_be_rotated_and_serves_where_a_credential_is_required(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    clock = ManualClock()
    config = {**PRODUCTION, "identity": {"required": True}, "ops": {"admin_token": {"file": str(file)}}}
    async with running_gateway(config, clock=clock) as gateway:
        assert (await gateway.ask(STATE)).codes == ["UNAUTHENTICATED"]
        assert await seen(gateway, {"x-admin-token": TOKEN})
        file.write_text("another-horse-battery")
        await clock.advance(2)
        assert (await gateway.ask(STATE, {"x-admin-token": TOKEN})).codes == ["UNAUTHENTICATED"]
        new = {"x-admin-token": "another-horse-battery"}
        assert await seen(gateway, new)
        file.write_text("short")
        await clock.advance(2)
        answered = await gateway.ask("{ health { checks { name reason } } }", new)
        reasons = {check["name"]: check["reason"] for check in answered.data["health"]["checks"]}
        assert reasons["admin token"] == "a newer secret cannot be used; the log says why"


async def test_a_token_with_the_scope_makes_an_operator() -> None:
    async with known(identity={"ops_scope": "ops"}, ops={"admin_token": TOKEN}) as asked:
        gateway, issuer = asked.gateway, asked.issuer
        assert await seen(gateway, issuer.bearer(scope="read ops"))
        assert not await seen(gateway, issuer.bearer(scope="read breakwater:ops"))
        message, code, category = refusal(await gateway.ask(STATE, issuer.bearer()))
        assert (code, category) == ("FORBIDDEN", "authorization")
        assert message == (
            "This is for operators only: send the admin token in x-admin-token or a token with the scope ops."
        )
        told = await asked.me({**issuer.bearer(scope="read"), "x-admin-token": TOKEN})
        assert told == {"user": "ada", "tenant": None, "authenticated": True, "scopes": ["ops", "read"]}
        assert await seen(gateway, {"authorization": f"Bearer {TOKEN}"})
        for _ in range(10):  # where tokens are checked, a bearer token that is none is a guess
            assert await asked.refused({"authorization": "Bearer guess"}) == (401, "UNAUTHENTICATED")
        assert await asked.refused({"authorization": "Bearer guess"}) == (429, "RATE_LIMITED")
        assert (await asked.me(issuer.bearer()))["user"] == "ada"


async def test_a_field_of_ones_own_may_be_for_operators_only_and_is_compiled() -> None:
    schema = build_schema(["tests.gateway.identity.fields"])
    document = parse_document("{ secret upstreams { name } health { status checks { name } } }")
    [operation] = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert not isinstance(Prepared(schema, operation, {}).program({}), str)
    async with running_gateway({**PRODUCTION, "ops": {"admin_token": TOKEN}}) as gateway:
        answered = await gateway.ask("{ secret __typename }")
        assert answered.data == {"secret": None, "__typename": "Query"}
        assert [(error["path"], error["extensions"]["code"]) for error in answered.errors] == [
            (["secret"], "UNAUTHENTICATED")
        ]
        assert (await gateway.ask("{ secret }", {"x-admin-token": TOKEN})).data == {"secret": "secret"}


async def test_the_fields_are_for_operators_in_a_supergraph_too(tmp_path: Path) -> None:
    sdl = tmp_path / "notes.graphql"
    sdl.write_text("type Query { note: String }")
    notes = {"graphql": "http://127.0.0.1:9/graphql", "subgraph": {"sdl": str(sdl)}}
    federation = {"federation": {}, "services": {"notes": notes}}
    async with running_gateway({**PRODUCTION, "ops": {"admin_token": TOKEN}, **federation}) as gateway:
        assert not await seen(gateway)
        assert refusal(await gateway.ask(STATE))[1:] == ("UNAUTHENTICATED", "authentication")
        assert await seen(gateway, {"x-admin-token": TOKEN})


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"x-admin-token": TOKEN}, 200)])
async def test_what_is_served_beside_graphql_may_be_for_operators_only(headers: dict[str, str], status: int) -> None:
    async with running_gateway({**PRODUCTION, "ops": {"admin_token": TOKEN}}) as gateway:
        response = await gateway.http.get("/monitoring/performance", headers={**headers, "x-request-id": "r-1"})
    assert response.status_code == status
    if status == 401:
        error = response.json()["error"]
        assert (error["code"], error["requestId"]) == ("UNAUTHENTICATED", "r-1")
        assert error["message"].startswith("This is for operators only: ")


async def test_before_it_is_known_who_asks_nobody_is_an_operator() -> None:
    operators = Operators(lambda: None, OpsAccess("breakwater:ops", "ask us"), ManualClock())
    assert not await operators.is_operator({"type": "http", "headers": []})


def client(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False)


async def test_a_file_that_is_gone_by_the_time_it_is_opened_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    config = parse("ops: { admin_token: { file: token } }", {}, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"ops\.admin_token: token: cannot be read"):
        async with open_identity(config, ManualClock(), Random(1)):
            pass
