"""`auth:` and `tls:` of gateway.yaml: what is refused, and what reaches upstreams of a running gateway."""

import io
import json
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import structlog
import yaml
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from clients.auth import Authorizer, Secret, WireRequest, verify
from demo.reviews import reviews_schema
from gateway.app import create_app
from gateway.cli import main
from gateway.config import ConfigError, load, parse
from gateway.runtime import lent_wire, pyreqwest_wire, service_wire
from gateway.telemetry import logs
from tests.testkit.certificates import Certificates, make_certificates
from tests.testkit.clock import ManualClock
from tests.testkit.gateway import running_gateway
from tests.testkit.raw_server import Connection, raw_server
from tests.testkit.serve import serve
from tests.testkit.token_server import TokenServer
from tests.testkit.upstream import Exchange, ScriptedUpstream, hang, malformed, reset, status

CUSTOMER = '{ customer(id: "1") { name } }'
CANARY = "c4n4ry-S3CRET"


class Shout(Authorizer):
    """What a company's own authorizer looks like."""

    def __init__(self, *, key: Secret, suffix: str = "") -> None:
        self._key = key
        self._suffix = suffix

    async def authorize(self, request: WireRequest) -> WireRequest:
        return request.with_headers({"x-shout": self._key.reveal().upper() + self._suffix})


class Unfinished(Authorizer):
    """Has no authorize()."""


NOT_A_CLASS = 5


def entry(auth: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"services": {"crm": {"rest": "https://crm", **more, "auth": auth}}})


def findings(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, environment)
    return [str(finding).split(": ", 1)[1] for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({}, "services.crm.auth: type is missing; add it: one of api-key, bearer, basic, oauth2, hmac, custom"),
        (
            {"type": "digest"},
            "services.crm.auth.type: expected one of api-key, bearer, basic, oauth2, hmac, custom (found: 'digest')",
        ),
        ({"type": "bearer"}, "services.crm.auth: token is missing; add it"),
        (
            {"type": "bearer", "token": "a", "scope": "b"},
            "services.crm.auth.scope: unknown key; known: token",
        ),
        (
            {"type": "bearer", "token": {"file": "a", "fil": "a"}},
            "services.crm.auth.token.fil: unknown key; did you mean file?",
        ),
        (
            {"type": "bearer", "token": 12345},
            "services.crm.auth.token: expected `str | object`, got `int`; put it in quotes "
            "(found: not shown, it may be a secret)",
        ),
        ({"type": "bearer", "token": "a\n"}, "services.crm.auth.token: a header cannot carry its line break"),
        ({"type": "bearer", "token": "Bearer a"}, "services.crm.auth.token: holds a space; give the token alone"),
        ({"type": "bearer", "token": {"file": "no"}}, "services.crm.auth.token.file: no: cannot be read: No such file"),
        ({"type": "api-key", "key": ""}, "services.crm.auth.key: is empty"),
        (
            {"type": "api-key", "key": "k", "header": "x-a", "query": "a"},
            "services.crm.auth.query: there is header: too; a key goes into one of the two",
        ),
        ({"type": "api-key", "key": "k", "query": ""}, "services.crm.auth.query: is empty; name the parameter"),
        (
            {"type": "api-key", "key": "k", "header": "Host"},
            "services.crm.auth.header: Host belongs to the connection; choose another",
        ),
        (
            {"type": "basic", "user": "a:b", "password": "p"},
            "services.crm.auth.user: cannot be empty or have a colon or a control character",
        ),
        (
            {"type": "oauth2", "token_url": "https://t", "client_id": "g"},
            "services.crm.auth: client_secret is missing; add it (or a refresh_token)",
        ),
        (
            {"type": "oauth2", "token_url": "t", "client_id": "g", "client_secret": "s"},
            "services.crm.auth.token_url: expected a URL such as https://login.example.org/oauth2/token",
        ),
        (
            {"type": "oauth2", "token_url": "https://a:b@t", "client_id": "g", "client_secret": "s"},
            "services.crm.auth.token_url: expected neither user, password nor fragment",
        ),
        (
            {"type": "oauth2", "token_url": "https://t", "client_id": "g", "client_secret": "s", "timeout_s": 5},
            "services.crm.auth.timeout_s: has to be less than the service's timeout_s (5)",
        ),
        (
            {"type": "oauth2", "token_url": "https://t", "client_id": "g", "client_secret": "s", "client_auth": "jwt"},
            "services.crm.auth.client_auth: expected one of basic, body (found: 'jwt')",
        ),
        ({"type": "hmac", "key_id": "g", "secret": "short"}, "services.crm.auth.secret: is shorter than 16 bytes"),
        ({"type": "hmac", "key_id": 'a"b', "secret": "x" * 16}, "services.crm.auth.key_id: expected `str` matching"),
        (
            {"type": "custom", "class": "no.such.thing"},
            "services.crm.auth.class: no.such.thing cannot be imported: No module named 'no'",
        ),
        (
            {"type": "custom", "class": "Signer"},
            "services.crm.auth.class: Signer cannot be imported: Empty module name",
        ),
        (
            {"type": "custom", "class": f"{__name__}.Missing"},
            f"services.crm.auth.class: {__name__}.Missing cannot be imported: module '{__name__}' has no attribute",
        ),
        (
            {"type": "custom", "class": f"{__name__}.Unfinished"},
            f"services.crm.auth.class: {__name__}.Unfinished is no Authorizer; derive it from clients.auth.Authorizer",
        ),
        (
            {"type": "custom", "class": f"{__name__}.NOT_A_CLASS"},
            f"services.crm.auth.class: {__name__}.NOT_A_CLASS is no Authorizer",
        ),
        (
            {"type": "custom", "class": f"{__name__}.Shout", "options": {"suffix": "!"}},
            f"services.crm.auth: options and secrets do not fit {__name__}.Shout: missing a required argument: 'key'",
        ),
        (
            {"type": "custom", "class": f"{__name__}.Shout", "options": {"key": "a"}, "secrets": {"key": "a"}},
            "services.crm.auth.secrets.key: is in options, too; remove one of the two",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_path(auth: dict[str, Any], expected: str) -> None:
    (finding,) = findings(entry(auth))
    assert finding.startswith(expected)


@pytest.mark.parametrize(
    ("auth", "more", "expected"),
    [
        (
            {"type": "bearer", "token": "a"},
            {"forward": ["x-request-id", "Authorization"]},
            "services.crm.forward[1]: Authorization is what auth: sets; remove one of the two",
        ),
        (
            {"type": "api-key", "key": "a"},
            {"headers": {"X-API-Key": "b"}},
            "services.crm.headers.X-API-Key: X-API-Key is what auth: sets; remove one of the two",
        ),
        (
            {"type": "hmac", "key_id": "a", "secret": "x" * 16},
            {"forward": ["signature"]},
            "services.crm.forward[0]: signature is what auth: sets; remove one of the two",
        ),
    ],
)
def test_what_auth_sets_is_neither_forwarded_nor_given_otherwise(
    auth: dict[str, Any], more: dict[str, Any], expected: str
) -> None:
    assert findings(entry(auth, **more)) == [expected]


def test_file_names_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(entry({"type": "bearer", "token": {"file": "token"}}))
    auth: Any = load(file, {}).services["crm"].auth
    assert auth.token.file == str(tmp_path / "token")
    (tmp_path / "token").write_text("")
    with pytest.raises(ConfigError, match=r"auth\.token\.file: .*token: is empty"):
        load(file, {})


def test_check_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(entry({"type": "bearer", "token": {"file": "token"}}))
    assert main(["check", "--config", str(file)]) == 1
    assert "services.crm.auth.token.file: " in capsys.readouterr().err


async def test_each_service_gets_its_own_credential_and_the_callers_where_its_entry_says_so(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k-1\n")
    services: dict[str, Any] = {
        "customers": {"auth": {"type": "api-key", "key": {"file": str(tmp_path / "key")}}, "forward": ["x-tenant-id"]},
        "invoices": {"forward": ["authorization", "x-user-id"]},
        "bank": {"auth": {"type": "custom", "class": f"{__name__}.Shout", "secrets": {"key": "a"}}},
    }
    query = "{ invoices(first: 1) { customer { name account { balance } } } }"
    caller = {"authorization": "Bearer mine", "x-tenant-id": "acme", "x-user-id": "ada", "x-other": "no"}
    async with running_gateway({"services": services}) as gateway:
        assert (await gateway.ask(query, caller)).errors == []
        seen = {
            name: script.graphql.calls[0] if script.graphql.calls else script.rest.calls[0]
            for name, script in (
                ("customers", gateway.customers),
                ("invoices", gateway.invoices),
                ("bank", gateway.bank),
            )
        }
    of_caller = ("authorization", "x-tenant-id", "x-user-id", "x-request-id", "x-correlation-id", "x-other")
    sent = {name: {h for h in of_caller if h in call.headers} for name, call in seen.items()}
    assert sent == {
        "customers": {"x-tenant-id"},
        "invoices": {"authorization", "x-user-id"},
        "bank": {"x-request-id", "x-correlation-id"},
    }
    assert seen["customers"].headers["x-api-key"] == "k-1"
    assert seen["bank"].headers["x-shout"] == "A"


async def test_a_rotated_secret_is_used_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    auth = {"type": "bearer", "token": {"file": str(file)}}
    async with running_gateway({"services": {"customers": {"auth": auth}}}) as gateway:
        await gateway.ask(CUSTOMER)
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").rename(file)

        async def only_new(exchange: Exchange) -> Response:
            good = exchange.call.headers["authorization"] == "Bearer new"
            return exchange.answer() if good else Response(status_code=401)

        gateway.customers.graphql.behave(only_new)
        assert (await gateway.ask('{ customer(id: "2") { name } }')).errors == []


async def test_oauth2_and_hmac_in_a_running_gateway() -> None:
    async with TokenServer() as tokens:
        services = {
            "customers": {
                "auth": {
                    "type": "oauth2",
                    "token_url": tokens.url,
                    "client_id": "g",
                    "client_secret": "s",
                    "scope": "a",
                }
            },
            "invoices": {"auth": {"type": "hmac", "key_id": "g", "secret": "0123456789abcdef"}},
        }
        async with running_gateway({"services": services}) as gateway:
            for _ in range(2):
                answered = await gateway.ask("{ invoices(first: 2) { number customer { name } } }")
                assert answered.errors == []
            token = gateway.customers.graphql.calls[0].headers["authorization"]
            signed = gateway.invoices.graphql.calls[0]
            url = f"{gateway.invoices.url}{signed.raw_path}"
    assert token == "Bearer token-1"
    assert len(tokens.requests) == 1
    assert tokens.requests[0].form["scope"] == "a"
    created = int(signed.headers["signature-input"].split("created=")[1].split(";")[0])
    found = verify("POST", url, signed.headers, signed.body, keys={"g": b"0123456789abcdef"}, now=created)
    assert found.key_id == "g"


async def test_health_says_what_is_wrong_with_a_credential(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("abc")
    async with TokenServer() as tokens:
        asks = {"type": "oauth2", "token_url": tokens.url, "client_id": "g", "client_secret": "s"}
        services = {
            "customers": {"auth": asks},
            "invoices": {"auth": {"type": "bearer", "token": {"file": str(file)}}},
            "bank": {"auth": {"type": "custom", "class": f"{__name__}.Shout", "secrets": {"key": "a"}}},
        }
        async with running_gateway({"services": services}) as gateway:
            tokens.answers = [Response(status_code=503)]
            assert (await gateway.ask(CUSTOMER)).codes == ["SERVICE_UNAVAILABLE"]
            file.unlink()
            gateway.invoices.graphql.behave(status(401))  # makes it look at the file now
            await gateway.ask("{ invoices(first: 1) { number } }")
            health = (await gateway.http.get("/health")).json()
    reasons = {check["name"]: check["reason"] for check in health["checks"] if check["name"].startswith("credential")}
    assert reasons == {
        "credential:customers": "the token endpoint answered 503",
        "credential:invoices": "a newer secret cannot be used; the log says why",
        "credential:bank": None,
    }
    assert health["status"] == "degraded"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(json=True, level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


AUTHS: dict[str, dict[str, Any]] = {
    "api-key": {"type": "api-key", "key": CANARY},
    "api-key in the query": {"type": "api-key", "key": CANARY, "query": "k"},
    "bearer": {"type": "bearer", "token": CANARY},
    "basic": {"type": "basic", "user": "u", "password": CANARY},
    "hmac": {"type": "hmac", "key_id": "k", "secret": CANARY * 2},
    "custom": {"type": "custom", "class": f"{__name__}.Shout", "secrets": {"key": CANARY}},
    "oauth2": {"type": "oauth2", "client_id": "g", "client_secret": CANARY, "refresh_token": CANARY},
    "oauth2 in the body": {"type": "oauth2", "client_id": "g", "client_secret": CANARY, "client_auth": "body"},
}
HEALTH = """{ upstreams { name status circuits { reason lastError { code message } } } }"""


@pytest.mark.parametrize("kind", AUTHS)
async def test_a_secret_shows_nowhere_whatever_breaks(kind: str, lines: io.StringIO, tmp_path: Path) -> None:
    async with TokenServer() as tokens:
        auth = AUTHS[kind] | ({"token_url": tokens.url} if kind.startswith("oauth2") else {})
        tokens.extra["access_token"] = CANARY
        broken: list[Response] = [
            JSONResponse({"error": CANARY, "error_description": CANARY}, 400),
            Response(CANARY, 500),
            Response(CANARY, 200),
            JSONResponse({"access_token": f"{CANARY}\r\n", "token_type": "Bearer"}),
            JSONResponse({"access_token": CANARY, "token_type": CANARY}),
            JSONResponse({"access_token": CANARY, "token_type": "Bearer", "expires_in": CANARY}),
        ]
        service = {"auth": auth, "headers": {"x-canary": CANARY}, "timeout_s": 0.1, "breaker": {"failures": 100}}
        shown: list[str] = []
        behaviours = (status(401), status(500), status(403), malformed(), reset(), hang())
        for answer in broken if kind.startswith("oauth2") else broken[:1]:
            tokens.answers = [answer]
            async with running_gateway({"services": {"customers": service}}) as gateway:
                for behaviour in behaviours if answer is broken[0] else ():
                    gateway.customers.graphql.behave(behaviour)
                    gateway.customers.rest.behave(behaviour)
                    shown.append((await gateway.ask(CUSTOMER)).response.text)
                await gateway.customers.refuse()
                shown.append((await gateway.ask(CUSTOMER)).response.text)
                shown.append((await gateway.ask(HEALTH)).response.text)
                shown.append((await gateway.http.get("/health")).text)
        config = parse(entry(auth, headers={"x-canary": CANARY}), {})
        shown += [
            repr(config),
            repr(config.services),
            repr(config.services["crm"].auth),
            repr(config.clients_services()),
        ]
    shown.append(lines.getvalue())
    assert "UPSTREAM" in shown[-1]
    for text in shown:
        assert CANARY not in text
        assert CANARY.upper() not in text
        assert "YzRuNHJ5" not in text  # the canary in base64
        assert "dTpjNG40cnkt" not in text  # with `u:` before it


@pytest.mark.parametrize("kind", AUTHS)
@pytest.mark.parametrize("end", ["\n", "\x00", "ü\x7f"])
def test_a_secret_that_cannot_be_sent_is_refused_without_showing_it(kind: str, end: str) -> None:
    auth = {"token_url": "https://t", **AUTHS[kind]} if kind.startswith("oauth2") else AUTHS[kind]
    text = json.dumps(entry({k: v + end if CANARY in str(v) and isinstance(v, str) else v for k, v in auth.items()}))
    if kind == "custom":
        text = json.dumps(entry({**auth, "secrets": {"key": CANARY + end}}))
    with pytest.raises(ConfigError) as caught:
        parse(json.loads(text), {})
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigError) as caught:
        parse(entry({**auth, "kei": CANARY, "key": [CANARY]}), {})
    assert CANARY not in str(caught.value)


def test_a_scalar_in_place_of_auth_is_not_shown() -> None:
    (finding,) = findings(yaml.safe_dump({"services": {"crm": {"rest": "https://crm", "auth": CANARY}}}))
    assert CANARY not in finding


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def a_customer(connection: Connection) -> None:
    while True:
        await connection.request()
        body = b'[{"id":"1","name":"Ada","email":"a@b","tier":"gold"}]'
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def context(pem: Path, authority: Path | None = None) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    found.load_cert_chain(pem)
    if authority is not None:
        found.verify_mode = ssl.CERT_REQUIRED
    return found


async def ask_over_tls(pem: Path, tls: dict[str, Any] | None, authority: Path | None = None) -> Any:
    async with raw_server(a_customer, tls=context(pem, authority)) as server:
        service = {"graphql": None, "rest": server.url, "tls": tls}
        async with running_gateway({"services": {"customers": service}}) as gateway:
            return await gateway.ask(CUSTOMER)


async def test_a_service_may_have_an_authority_of_its_own_and_ask_for_a_certificate(certificates: Certificates) -> None:
    tls = {
        "ca_files": [str(certificates.authority)],
        "client_cert_file": str(certificates.client),
        "client_key_file": str(certificates.client_key),
    }
    answered = await ask_over_tls(certificates.server, tls, certificates.authority)
    assert answered.data == {"customer": {"name": "Ada"}}


@pytest.mark.parametrize("which", ["expired", "untrusted", "no certificate shown"])
async def test_a_certificate_that_does_not_hold_is_a_clear_error(certificates: Certificates, which: str) -> None:
    pem = certificates.expired if which == "expired" else certificates.server
    tls = None if which == "untrusted" else {"ca_files": [str(certificates.authority)]}
    asked_for = certificates.authority if which.startswith("no") else None
    answered = await ask_over_tls(pem, tls, asked_for)
    if which == "no certificate shown":  # TLS 1.3 tells a client only after it has sent
        assert answered.codes in (["UPSTREAM_UNREACHABLE"], ["UPSTREAM_CONNECTION_LOST"])
        return
    assert answered.codes == ["UPSTREAM_UNREACHABLE"]
    words = {"expired": "invalid peer certificate: Expired", "untrusted": "UnknownIssuer"}[which]
    assert words in answered.errors[0]["message"]


def test_certificates_that_cannot_be_used_are_refused_at_start(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    ca, cert = str(certificates.authority), str(certificates.client)
    other = str(certificates.server)

    def tls(rest: str = "https://crm", **files: Any) -> str:
        document = yaml.safe_dump({"services": {"crm": {"rest": rest, "tls": files}}})
        with pytest.raises(ConfigError) as caught:
            parse(document, {}, folder=tmp_path)
        (finding,) = caught.value.findings
        return str(finding).split("services.crm.")[1].replace(f"{tmp_path}/", "")

    assert tls(ca_files=[ca, "no.pem"]) == "tls.ca_files[1]: no.pem: cannot be read: No such file or directory"
    assert tls(ca_files=["empty.pem"]) == "tls.ca_files[0]: empty.pem: holds no PEM certificate"
    assert tls(client_key_file=other) == "tls.client_key_file: needs client_cert_file"
    assert tls(client_cert_file="no.pem") == "tls.client_cert_file: no.pem: cannot be read: No such file or directory"
    assert tls(client_cert_file=cert).endswith("expected a PEM certificate and its unencrypted key")
    assert tls(client_cert_file=cert, client_key_file=other).endswith("the key is another certificate's")
    assert tls("http://crm", ca_files=[ca]).startswith("tls: none of the service's addresses is https")
    assert tls(verify=False).startswith("tls.verify: unknown key")


async def test_a_subgraph_is_asked_for_its_sdl_and_checked_with_its_credential(tmp_path: Path) -> None:
    asked: list[str | None] = []
    schema = reviews_schema()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        asked.append(request.headers.get("authorization"))
        if asked[-1] != "Bearer abc":
            await Response(status_code=401)(scope, receive, send)
            return
        result = await schema.execute((await request.json())["query"])
        await JSONResponse({"data": result.data})(scope, receive, send)

    async with serve(GZipMiddleware(app, minimum_size=1)) as server:
        config = parse(
            yaml.safe_dump(
                {
                    "federation": {"local": None},
                    "services": {
                        "reviews": {
                            "graphql": f"{server.url}/graphql",
                            "subgraph": {},
                            "auth": {"type": "bearer", "token": "abc"},
                        }
                    },
                }
            ),
            {},
        )
        async with serve(create_app(config)) as gateway, httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{gateway.url}/graphql", json={"query": "{ __typename }"})
    assert answer.json()["data"] == {"__typename": "Query"}
    assert set(asked) == {"Bearer abc"}


async def test_a_wire_is_lent_with_the_services_credential_to_what_asks_outside_of_a_pipeline() -> None:
    async with ScriptedUpstream([{"id": "1", "name": "Ada"}]) as script:
        services = {
            "crm": {"rest": script.rest.url, "auth": {"type": "bearer", "token": "abc"}},
            "plain": {"rest": script.rest.url},
        }
        config = parse(yaml.safe_dump({"services": services}), {})
        async with lent_wire(config, "crm") as wire, lent_wire(config, "plain") as none:
            assert wire is not None
            assert none is None
            answer = await wire.send("GET", f"{script.rest.url}/customers/1", {}, None, max_body_bytes=1000)
        assert answer.status == 200
        assert script.rest.calls[0].headers["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"auth": {"type": "bearer", "token": {"file": "gone"}}}, r"services\.crm\.auth: .*gone: cannot be read"),
        ({"tls": {"ca_files": ["gone"]}}, r"services\.crm\.tls: .*gone"),
    ],
)
def test_a_file_that_goes_between_reading_the_configuration_and_opening_it(
    certificates: Certificates, tmp_path: Path, keys: dict[str, Any], expected: str
) -> None:
    gone = tmp_path / "gone"
    gone.write_text(certificates.authority.read_text() if "tls" in keys else "abc")
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"services": {"crm": {"rest": "https://crm", **keys}}}))
    config = load(file, {})
    gone.unlink()
    (service,) = config.clients_services()
    with pytest.raises(ConfigError, match=expected):
        service_wire(config, service, wires=pyreqwest_wire, clock=ManualClock(), random=Random(42))
