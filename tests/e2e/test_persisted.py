"""Documents that clients name instead of sending them, over a socket."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.http.safelist import ManifestError
from tests.testkit.gateway import Answered, Gateway, running_gateway
from tests.testkit.redis import RedisServer
from tests.testkit.waiting import DEADLINE_S, until_true

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRAPHQL_RESPONSE = "application/graphql-response+json"
NAME = {"customer": {"name": "Customer 1"}}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(digest: str, version: Any = 1) -> dict[str, Any]:
    return {"persistedQuery": {"version": version, "sha256Hash": digest}}


def query(number: int) -> str:
    """A document of this test's own."""
    return f'query Q{number} {{ customer(id: "1") {{ name }} }}'


async def post(gateway: Gateway, body: dict[str, Any], accept: str = "application/json") -> Answered:
    response = await gateway.http.post("/graphql", json=body, headers={"accept": accept})
    return Answered(response, response.json())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def automatic() -> AsyncIterator[Gateway]:
    async with running_gateway({"persisted_queries": {"automatic": {"max_bytes": 4_000}}}) as gateway:
        yield gateway


async def test_an_unknown_hash_is_told_so_in_the_words_that_clients_look_for(automatic: Gateway) -> None:
    body = {"extensions": persisted(sha(query(0)))}
    for accept, status in (("application/json", 200), (GRAPHQL_RESPONSE, 400)):
        answered = await post(automatic, body, accept)
        assert answered.response.status_code == status
        assert answered.response.headers["cache-control"] == "no-store"
        assert [error["message"] for error in answered.errors] == ["PersistedQueryNotFound"]
        assert answered.codes == ["PERSISTED_QUERY_NOT_FOUND"]
        assert "data" not in answered.body


async def test_a_document_sent_with_its_hash_is_known_from_then_on(automatic: Gateway) -> None:
    digest = sha(query(1))
    assert (await post(automatic, {"query": query(1), "extensions": persisted(digest)})).data == NAME
    assert (await post(automatic, {"extensions": persisted(digest)})).data == NAME
    assert (await post(automatic, {"documentId": f"sha256:{digest}"})).data == NAME
    assert (await post(automatic, {"documentId": f"sha256:{digest}", "operationName": "Q1"})).data == NAME


async def test_a_get_with_a_hash_is_answered(automatic: Gateway) -> None:
    with_id = {"documentId": f"sha256:{sha(query(2))}"}
    with_hash = {"extensions": json.dumps(persisted(sha(query(2))))}
    await post(automatic, {"query": query(2), "extensions": persisted(sha(query(2)))})
    for params in (with_hash, with_id):
        response = await automatic.http.get("/graphql", params=params)
        assert (response.status_code, response.json()) == (200, {"data": NAME})


async def test_a_hash_of_another_document_is_refused_and_not_kept(automatic: Gateway) -> None:
    digest = sha("another")
    answered = await post(automatic, {"query": query(3), "extensions": persisted(digest)})
    assert (answered.response.status_code, answered.codes) == (400, ["PERSISTED_QUERY_HASH_MISMATCH"])
    assert (await post(automatic, {"extensions": persisted(digest)})).codes == ["PERSISTED_QUERY_NOT_FOUND"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{ customer", "GRAPHQL_PARSE_FAILED"),
        ("{ nobody }", "GRAPHQL_VALIDATION_FAILED"),
        ("{" + " ".join(f"a{i}: __typename" for i in range(40)) + "}", "LIMIT_EXCEEDED"),
    ],
)
async def test_a_refused_document_is_not_kept(automatic: Gateway, text: str, code: str) -> None:
    for _ in range(2):
        assert (await post(automatic, {"query": text, "extensions": persisted(sha(text))})).codes[0] == code
    assert (await post(automatic, {"extensions": persisted(sha(text))})).codes == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_no_more_is_kept_than_may_be(automatic: Gateway) -> None:
    for number in range(100, 120):
        await post(automatic, {"query": query(number), "extensions": persisted(sha(query(number)))})
    assert (await post(automatic, {"extensions": persisted(sha(query(100)))})).codes == ["PERSISTED_QUERY_NOT_FOUND"]
    assert (await post(automatic, {"extensions": persisted(sha(query(119)))})).data == NAME
    large = "#" + "x" * 15_000 + "\n" + query(200)
    assert (await post(automatic, {"query": large, "extensions": persisted(sha(large))})).data == NAME
    assert (await post(automatic, {"extensions": persisted(sha(large))})).codes == ["PERSISTED_QUERY_NOT_FOUND"]
    assert (await post(automatic, {"extensions": persisted(sha(query(119)))})).data == NAME


@pytest.mark.parametrize(
    "body",
    [
        {"extensions": persisted(sha("x"), version=2)},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}},
        {"extensions": {"persistedQuery": "x"}},
        {"query": "{ __typename }", "documentId": "x"},
        {"documentId": 7},
        {},
    ],
)
async def test_what_is_no_identifier_is_a_bad_request(automatic: Gateway, body: dict[str, Any]) -> None:
    answered = await post(automatic, body)
    assert (answered.response.status_code, answered.codes) == (400, ["BAD_REQUEST"])


@pytest.mark.parametrize("identifier", ["", "x", "é" * 70, "sha256:", "A" * 64, "x-other:1"])
async def test_any_other_identifier_is_known_to_nobody(automatic: Gateway, identifier: str) -> None:
    assert (await post(automatic, {"documentId": identifier})).codes == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_an_extension_that_is_null_is_none(automatic: Gateway) -> None:
    assert (await post(automatic, {"query": query(4), "extensions": {"persistedQuery": None}})).data == NAME


async def test_instances_share_documents_through_redis(redis: RedisServer) -> None:
    config = {
        "persisted_queries": {"automatic": {}},
        "redis": {"url": redis.url, "timeout_s": 0.5},
    }
    digest = sha(query(5))
    async with running_gateway(config) as first, running_gateway(config) as second:
        await post(first, {"query": query(5), "extensions": persisted(digest)})
        await until_true(lambda: b"persisted:" in redis.command("KEYS", "*persisted*"), "the document in Redis")
        assert (await post(second, {"extensions": persisted(digest)})).data == NAME
        forged = sha(query(6))
        (name,) = (line for line in redis.command("KEYS", "*persisted*").split(b"\r\n") if b"persisted:" in line)
        redis.command("COPY", name, name.replace(bytes.fromhex(digest), bytes.fromhex(forged)))
        assert (await post(second, {"extensions": persisted(forged)})).codes == ["PERSISTED_QUERY_NOT_FOUND"]
        redis.kill()
        assert (await post(second, {"extensions": persisted(digest)})).data == NAME
        answered = await post(second, {"extensions": persisted(sha("never seen"))})
        assert answered.codes == ["PERSISTED_QUERY_NOT_FOUND"]
        assert (await post(second, {"query": query(7), "extensions": persisted(sha(query(7)))})).data == NAME
        assert (await post(second, {"extensions": persisted(sha(query(7)))})).data == NAME


def manifest(folder: Path, *texts: str) -> str:
    path = folder / "manifest.json"
    path.write_text(json.dumps({sha(text): text for text in texts} | {"by-name": texts[0]}))
    return str(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def enforced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    file = manifest(tmp_path_factory.mktemp("safelist"), query(1), query(2))
    async with running_gateway({"persisted_queries": {"safelist": {"file": file, "mode": "enforce"}}}) as gateway:
        yield gateway


async def test_listed_operations_are_answered_by_text_and_by_every_kind_of_identifier(enforced: Gateway) -> None:
    digest = sha(query(1))
    for body in (
        {"query": query(1)},
        {"query": f"# by hand\n{query(1)}"},
        {"extensions": persisted(digest)},
        {"extensions": persisted("by-name")},
        {"documentId": f"sha256:{digest}"},
        {"documentId": "by-name"},
        {"query": query(1), "extensions": persisted(digest)},
    ):
        assert (await post(enforced, body)).data == NAME
    assert (await enforced.http.get("/graphql", params={"documentId": "by-name"})).json() == {"data": NAME}


async def test_any_other_operation_is_refused_before_it_is_looked_at(enforced: Gateway) -> None:
    for text in (query(3), "{ __schema { description } }", "{ nobody }", "{"):
        for accept, status in (("application/json", 200), (GRAPHQL_RESPONSE, 403)):
            answered = await post(enforced, {"query": text, "extensions": persisted(sha(text))}, accept)
            assert (answered.response.status_code, answered.codes) == (status, ["QUERY_NOT_IN_SAFELIST"])
    answered = await post(enforced, {"extensions": persisted(sha(query(3)))})
    assert answered.codes == ["PERSISTED_QUERY_NOT_FOUND"]


async def test_in_the_log_mode_others_are_answered_and_told_of_once(tmp_path: Path) -> None:
    file = manifest(tmp_path, query(1))
    config = {"persisted_queries": {"safelist": {"file": file, "poll_interval_s": None}, "automatic": {}}}
    async with running_gateway(config) as gateway:
        with capture_logs() as logs:
            for number in (1, 2, 2, 1):
                assert (await post(gateway, {"query": query(number)})).data == NAME
            await post(gateway, {"query": "{ nobody }"})
            await post(gateway, {"query": query(3), "extensions": persisted(sha(query(3)))})
            assert (await post(gateway, {"extensions": persisted(sha(query(3)))})).data == NAME
        told = [log for log in logs if log["event"] == "operation not in the safelist"]
        assert [log["operation"] for log in told] == ["Q2", "Q3"]
        health = (await gateway.http.get("/health")).json()
        assert {"name": "safelist", "status": "ok", "reason": None} in health["checks"]


async def test_a_newer_manifest_is_in_force_without_a_restart(tmp_path: Path) -> None:
    safelist = {"file": manifest(tmp_path, query(1)), "mode": "enforce", "poll_interval_s": 0.01}
    async with running_gateway({"persisted_queries": {"safelist": safelist}}) as gateway:
        assert (await post(gateway, {"query": query(2)})).codes == ["QUERY_NOT_IN_SAFELIST"]
        manifest(tmp_path, query(2), query(3))
        async with asyncio.timeout(DEADLINE_S):
            while (await post(gateway, {"query": query(2)})).errors:
                pass
        assert (await post(gateway, {"query": query(1)})).codes == ["QUERY_NOT_IN_SAFELIST"]


async def test_a_manifest_that_cannot_be_used_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        async with running_gateway({"persisted_queries": {"safelist": {"file": str(tmp_path / "no.json")}}}):
            pass


async def test_where_nothing_is_kept_clients_are_told_to_send_documents() -> None:
    async with running_gateway() as gateway:
        for body in ({"extensions": persisted(sha(query(1)))}, {"documentId": "x"}):
            answered = await post(gateway, body)
            assert (answered.response.status_code, answered.codes) == (200, ["PERSISTED_QUERY_NOT_SUPPORTED"])
            assert answered.errors[0]["message"] == "PersistedQueryNotSupported"
        unused = {"query": query(1), "extensions": persisted(sha("other"))}
        assert (await post(gateway, unused)).data == NAME
