"""`identity:`, `ops:` and `rate_limit:` of gateway.yaml: what is refused, and that secrets are never shown."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clients.clock import SystemClock
from gateway.config import ConfigError, parse
from gateway.telemetry import logs
from tests.gateway.identity.support import ME, known
from tests.testkit.issuer import Issuer
from tests.testkit.upstream import malformed, reset, status

CANARY = "c4n4ry-S3CRET-token"
ISSUER = {"issuer": "https://login.example.org/", "jwks": "https://login.example.org/jwks", "audiences": ["a"]}


def findings(sections: dict[str, Any], folder: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(yaml.safe_dump(sections), {}, folder=folder)
    return [str(finding).split(": ", 1)[1] for finding in caught.value.findings]


def of_issuer(**more: Any) -> dict[str, Any]:
    entry = {name: value for name, value in {**ISSUER, **more}.items() if value is not None}
    return {"identity": {"jwt": {"issuers": [entry]}}}


HERE = "identity.jwt.issuers[0]"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"identity": {"jwt": {}}}, "identity.jwt: issuers is missing; add it"),
    ({"identity": {"jwt": {"issuers": []}}}, "identity.jwt.issuers: is empty; name at least one"),
    (
        {"identity": {"jwt": {"issuers": [ISSUER], "refresh_s": 10}}},
        "identity.jwt.refetch_s: is longer than refresh_s (10), so no key would ever come sooner; lower it",
    ),
    (
        {"server": {"request_timeout_s": 5}, "identity": {"jwt": {"issuers": [ISSUER]}}},
        "identity.jwt.timeout_s: is no less than server.request_timeout_s (5); lower it",
    ),
    (of_issuer(jwks=None), f"{HERE}: jwks is missing; add it"),
    (of_issuer(issuer=""), f"{HERE}.issuer: is empty; write what its tokens have as iss"),
    (
        {"identity": {"jwt": {"issuers": [ISSUER, ISSUER]}}},
        "identity.jwt.issuers[1].issuer: is there twice; keep one, with the audiences of both",
    ),
    (of_issuer(audiences=[]), f"{HERE}.audiences: needs at least one, and none of them empty"),
    (of_issuer(audiences=[""]), f"{HERE}.audiences: needs at least one, and none of them empty"),
    (of_issuer(algorithms=[]), f"{HERE}.algorithms: needs at least one, and none of them empty"),
    (of_issuer(algorithms=["none"]), f"{HERE}.algorithms[0]: expected one of RS256, RS384"),
    (of_issuer(algorithms=["HS256"]), f"{HERE}.algorithms[0]: expected one of RS256, RS384"),
    (of_issuer(jwks="https://[::1"), f"{HERE}.jwks: expected a file, or a URL such as https://login.example.org/"),
    (of_issuer(jwks="https://"), f"{HERE}.jwks: expected a file, or a URL such as https://login.example.org/"),
    (of_issuer(jwks="https://a:b@host/jwks"), f"{HERE}.jwks: expected neither user, password nor fragment"),
    (
        of_issuer(jwks="http://login.example.org/jwks"),
        f"{HERE}.jwks: is http: whoever is on the way could forge tokens",
    ),
    (of_issuer(jwks="no.json"), f"{HERE}.jwks: no.json: cannot be read: No such file or directory"),
    (of_issuer(jwks="gateway"), f"{HERE}.jwks: gateway: cannot be read: Is a directory"),
    (of_issuer(jwks="README.md"), f"{HERE}.jwks: README.md: is no JWK Set (a JSON object with a list `keys`)"),
    (of_issuer(tls={"ca_files": ["README.md"]}), f"{HERE}.tls.ca_files[0]: README.md: holds no PEM certificate"),
    ({"identity": {"required": True}}, "identity.required: refuses everybody: nobody can vouch for a caller"),
    ({"identity": {"scopes_header": "x-scopes"}}, "identity.scopes_header: is read from trusted proxies only"),
    ({"identity": {"ops_scope": "a b"}}, "identity.ops_scope: expected a word without spaces"),
    (
        {"identity": {"address_header": "x-real-ip"}},
        "identity.address_header: expected one of x-forwarded-for, forwarded",
    ),
    ({"ops": {"admin_token": "short"}}, "ops.admin_token: is shorter than 16 bytes; make a longer one"),
    ({"ops": {"admin_token": ""}}, "ops.admin_token: is empty"),
    ({"ops": {"admin_token": f"Bearer {CANARY}"}}, "ops.admin_token: holds a space; give the token alone"),
    ({"ops": {"admin_token": "aaaaaaaa.bbbbbbbb.cccc"}}, "ops.admin_token: has the shape of a JWT"),
    ({"ops": {"admin_token": {"file": "no"}}}, "ops.admin_token.file: no: cannot be read: No such file"),
    ({"ops": {"admin_token": CANARY, "public": True}}, "ops.admin_token: is of no use while everybody is an operator"),
    ({"ops": {"admin_token": "line\nbreak-1234567890"}}, "ops.admin_token: a header cannot carry its line break"),
    ({"ops": {"admin_token": 1234567890123456}}, "ops.admin_token: expected `str | object | null`, got `int`"),
    ({"rate_limit": {"per_s": 1}}, "rate_limit: capacity is missing; add it"),
    ({"rate_limit": {"per_s": 0, "capacity": 1}}, "rate_limit.per_s: expected `float` > 0.0"),
    (
        {"rate_limit": {"per_s": 1, "capacity": 1, "shared": True}},
        "rate_limit.shared: is counted in Redis; add the section redis:, or remove it",
    ),
    (
        {
            "identity": {"tenant_header": "X-Org"},
            "services": {"crm": {"rest": "http://crm", "forward": ["x-org"]}},
        },
        "services.crm.forward[0]: x-org is the client's word alone; write x-tenant-id, which stands for it",
    ),
    (
        {
            "ops": {"admin_token": CANARY},
            "services": {"crm": {"rest": "http://crm", "forward": ["X-Admin-Token"]}},
        },
        "services.crm.forward[0]: X-Admin-Token is the client's word alone; remove it: it would show the admin token",
    ),
]


@pytest.mark.parametrize(("sections", "expected"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_path_and_reason(
    sections: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    found = findings(sections)
    assert any(each.startswith(expected) for each in found), found
    assert CANARY not in str(found)


def test_keys_may_come_over_http_from_this_machine_and_in_development() -> None:
    for host, mode in (("127.0.0.1", "production"), ("localhost", "production"), ("login", "development")):
        parse(yaml.safe_dump({"mode": mode, **of_issuer(jwks=f"http://{host}:8080/jwks")}), {})


def test_the_library_is_imported_when_it_is_needed_only() -> None:
    text = (
        "import sys; from gateway.app import create_app; from gateway.config import parse;"
        "create_app(parse('identity: {trusted_proxies: [10.0.0.0/8]}', {}));"
        "sys.exit('jwt' in sys.modules or 'cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False, timeout=60).returncode == 0


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(json=True, level="debug", stream=stream)
    yield stream
    structlog.reset_defaults()


async def test_no_token_and_no_key_is_ever_shown(lines: io.StringIO, tmp_path: Path) -> None:
    ca = tmp_path / "keys.json"
    shown: list[str] = []
    async with known(ops={"admin_token": CANARY}, identity={"trusted_proxies": ["127.0.0.1/32"]}) as asked:
        issuer, gateway = asked.issuer, asked.gateway
        key = issuer.keys[issuer.kid]
        good = issuer.token(exp=int(asked.clock.wall().timestamp()) + 60)
        tokens = [
            good,
            f"{good[:-8]}AAAAAAAA",
            issuer.token(aud="other"),
            issuer.token(iss="https://evil.example.org/"),
        ]
        everything = (
            '{ customer(id: "1") { name } upstreams { name lastError { message } } health { checks { reason } } }'
        )
        for behaviour in (status(401), status(500), malformed(), reset()):
            gateway.customers.graphql.behave(behaviour)
            gateway.customers.rest.behave(behaviour)
            shown += [
                (await gateway.ask(everything, {"authorization": f"Bearer {token}"})).response.text for token in tokens
            ]
            for headers in ({"x-admin-token": CANARY}, {"authorization": f"Bearer {CANARY}"}):
                shown.append((await gateway.ask(everything, headers)).response.text)
                shown.append((await gateway.http.get("/health", headers=headers)).text)
        shown.append((await gateway.ask(ME, {"x-admin-token": f"{CANARY}x"})).response.text)
        shown.append((await gateway.ask(ME, {"authorization": f"Bearer {CANARY}x"})).response.text)
        issuer.answer = None
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().splitlines()[1]
        asked.clock.jump(100)
        shown.append((await asked.ask({"authorization": f"Bearer {good}"})).response.text)
        assert "has expired" in shown[-1]
        ca.write_bytes(msgspec.json.encode(issuer.jwks()))
    config = parse(yaml.safe_dump({"ops": {"admin_token": CANARY}}), {})
    shown += [repr(config), repr(config.ops), lines.getvalue()]
    assert "admin token refused" in shown[-1]
    assert "token refused" in shown[-1]
    for text in shown:
        assert CANARY not in text
        assert secret not in text
        for token in tokens:
            for part in token.split(".")[1:]:
                assert part not in text


async def test_a_private_key_that_is_published_is_not_kept() -> None:
    issuer = Issuer(SystemClock())
    from gateway.identity.keys import parse_keys  # noqa: PLC0415

    [entry] = issuer.jwks()["keys"]
    keys = parse_keys(json.dumps({"keys": [{**entry, "d": "AAAA"}]}).encode(), ["ES256"])
    found = keys.find(issuer.kid, "ES256")
    assert found is not None
    assert not hasattr(found.key, "private_numbers")
