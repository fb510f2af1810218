"""Bodies beside one JSON object: arrays, gzip, files; over a socket."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.e2e import files_schema
from tests.testkit.behaviours import Hang
from tests.testkit.clock import ManualClock
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import Gateway, running_gateway
from tests.testkit.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFLIGHT = {"graphql-require-preflight": "1"}
GZIP = {"content-type": "application/json", "content-encoding": "gzip"}
STORE = "mutation($file: Upload) { store(file: $file) }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    server = {
        "max_body_bytes": 100_000,
        "max_in_flight": 4,
        "batching": {"max_operations": 3},
        "compression": {"min_bytes": 1_000},
        "uploads": {"max_files": 2, "max_file_bytes": 2_000_000, "max_receiving": 1},
    }
    imports = ["schema.customers", "schema.invoices", "tests.e2e.files_schema"]
    async with running_gateway({"server": server, "imports": imports}) as running:
        yield running


async def post(gateway: Gateway, content: object, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await gateway.http.post("/graphql", content=body, headers={"content-type": "application/json", **names})


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    return str(error["extensions"]["code"])


# Arrays


async def test_an_array_is_answered_in_its_order_each_with_its_own_errors_and_context(gateway: Gateway) -> None:
    batch = [
        {"query": '{ customer(id: "1") { name } }'},
        {"query": "{ nobody }"},
        {"query": "query($id: ID!) { customer(id: $id) { name } }", "variables": {"id": "2"}},
    ]
    response = await post(gateway, batch, accept="application/graphql-response+json", x_correlation_id="c-1")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/graphql-response+json")
    first, second, third = response.json()
    assert (first, third) == (
        {"data": {"customer": {"name": "Customer 1"}}},
        {"data": {"customer": {"name": "Customer 2"}}},
    )
    assert [error["extensions"]["code"] for error in second["errors"]] == ["GRAPHQL_VALIDATION_FAILED"]
    own = await post(gateway, [{"query": "{ turns }"}] * 3)
    assert own.json() == [{"data": {"turns": 1}}] * 3
    alone = await post(gateway, batch[:1], x_correlation_id="c-1")
    assert alone.json() == [first]
    assert alone.headers["x-correlation-id"] == "c-1"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"[]", "BAD_REQUEST", "The batch is empty"),
        (b'[{"query":"{__typename}"},7]', "BAD_REQUEST", "Entry 1 of the batch must be a JSON object"),
        (b"[[]]", "BAD_REQUEST", "Entry 0 of the batch must be a JSON object"),
        (b'[{"query":', "BAD_REQUEST", "not JSON"),
        (b"[{}" + b",{}" * 3 + b"]", "LIMIT_EXCEEDED", "more than 3 requests; max_operations allows 3"),
        (b" [" + b"[" * 50_000, "LIMIT_EXCEEDED", "nested too deeply"),
    ],
)
async def test_what_is_no_batch_is_refused_whole(gateway: Gateway, body: bytes, error: str, message: str) -> None:
    response = await post(gateway, body)
    assert (response.status_code, code(response)) == (400, error)
    assert message in response.json()["errors"][0]["message"]


async def test_one_bad_request_of_a_batch_is_its_own_affair(gateway: Gateway) -> None:
    response = await post(gateway, [{"query": 7}, {}, {"query": "{ __typename }"}])
    answers = response.json()
    assert [[error["extensions"]["code"] for error in a.get("errors", [])] for a in answers] == [
        ["BAD_REQUEST"],
        ["BAD_REQUEST"],
        [],
    ]
    assert answers[2] == {"data": {"__typename": "Query"}}


async def test_the_operations_of_a_batch_run_side_by_side_and_end_with_the_client(gateway: Gateway) -> None:
    calls = gateway.customers.graphql
    calls.forget()
    calls.behave(Hang())
    batch = [{"query": f'{{ customer(id: "{number}") {{ name }} }}'} for number in (11, 12)]
    asking = asyncio.create_task(post(gateway, batch))
    try:
        await calls.wait_for_calls(2)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    calls.heal()
    async with asyncio.timeout(DEADLINE_S):
        while (await _in_flight(gateway)) != [1]:
            pass


async def _in_flight(gateway: Gateway, operations: int = 1) -> list[int]:
    answers = (await post(gateway, [{"query": "{ health { load { inFlight } } }"}] * operations)).json()
    return [answer["data"]["health"]["load"]["inFlight"] for answer in answers]


async def test_a_batch_counts_as_its_requests(gateway: Gateway) -> None:
    assert await _in_flight(gateway, 3) == [3, 3, 3]
    assert await _in_flight(gateway) == [1]


async def test_without_configuration_arrays_are_refused_and_files_and_answers_are_left_as_they_are() -> None:
    async with running_gateway() as plain:
        response = await post(plain, [{"query": "{ __typename }"}])
        assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
        response = await plain.http.post("/graphql", files={"0": b"x"}, headers=PREFLIGHT)
        assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")
        response = await plain.http.post(
            "/graphql",
            json={"query": "{ __schema { types { name description } } }"},
            headers={"accept-encoding": "gzip"},
        )
        assert len(response.content) > 1_000
        assert "content-encoding" not in response.headers


# Compressed answers


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5, zstd", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("*;q=0, br", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("br", False),
        ("", False),
        ("gzip;q=2", False),
        ("gzip;q=x", False),
        ("gzip;level=1", True),
        (", " * 200 + "gzip", True),
    ],
)
async def test_large_answers_are_compressed_for_clients_that_ask_for_it(
    gateway: Gateway, accept: str, compressed: bool
) -> None:
    response = await post(gateway, {"query": "{ filler(size: 5000) }"}, accept_encoding=accept)
    assert response.json() == {"data": {"filler": "x" * 5_000}}
    assert (response.headers.get("content-encoding") == "gzip") is compressed
    assert response.headers["vary"] == "accept, accept-encoding"
    assert (int(response.headers["content-length"]) < 1_000) is compressed


async def test_small_answers_are_sent_as_they_are(gateway: Gateway) -> None:
    response = await post(gateway, {"query": "{ filler(size: 500) }"}, accept_encoding="gzip")
    assert ("content-encoding" in response.headers, response.headers["vary"]) == (False, "accept")


async def test_answers_of_megabytes_are_compressed_too(gateway: Gateway) -> None:
    response = await post(gateway, {"query": "{ filler(size: 3000000) }"}, accept_encoding="gzip")
    assert len(response.json()["data"]["filler"]) == 3_000_000
    assert int(response.headers["content-length"]) < 100_000


async def test_refusals_and_batches_are_compressed_alike(gateway: Gateway) -> None:
    batch = [{"query": "{ filler(size: 800) }"}] * 2
    assert (await post(gateway, batch, accept_encoding="gzip")).headers["content-encoding"] == "gzip"
    refused = await post(
        gateway, {"query": "{ " + " ".join(f"nobody{n}" for n in range(20)) + " }"}, accept_encoding="gzip"
    )
    assert refused.headers["content-encoding"] == "gzip"
    assert len(refused.json()["errors"]) > 1


# Compressed requests


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_a_compressed_request_is_read(gateway: Gateway, encoding: str) -> None:
    body = gzip.compress(b'{"query": "{ __typename }"}')
    response = await post(gateway, body, content_encoding=encoding)
    assert response.json() == {"data": {"__typename": "Query"}}


async def test_the_limit_is_that_of_what_a_compressed_body_stands_for(gateway: Gateway) -> None:
    whole = b'{"query": "{ __typename }"}'.ljust(100_000)
    assert (await post(gateway, gzip.compress(whole), **{"content-encoding": "gzip"})).status_code == 200
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    for body in (gzip.compress(whole + b" "), bomb):
        response = await post(gateway, body, content_encoding="gzip")
        assert (response.status_code, code(response)) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        gzip.compress(b"{}")[:-1],
        gzip.compress(b"{}") * 2,
        gzip.compress(b"{}") + b"x",
        zlib.compress(b"{}"),
        gzip.compress(bytes(range(256)) * 8)[:200],
        b"\x1f\x8b" * 5_000,
    ],
    ids=["nothing compressed", "cut short", "twice", "more behind it", "zlib", "no end", "heads only"],
)
async def test_what_is_no_whole_gzip_stream_is_refused(gateway: Gateway, body: bytes) -> None:
    response = await post(gateway, body, content_encoding="gzip")
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_other_encodings_are_refused_with_the_one_that_is_read(gateway: Gateway, encoding: str) -> None:
    response = await post(gateway, b"{}", content_encoding=encoding)
    assert (response.status_code, response.headers["accept-encoding"]) == (415, "gzip")


# Files


async def upload(
    gateway: Any,
    operations: object,
    places: object,
    files: Mapping[str, bytes] | None = None,
    headers: Mapping[str, str] = PREFLIGHT,
) -> httpx.Response:
    response: httpx.Response = await gateway.http.post(
        "/graphql",
        data={"operations": json.dumps(operations), "map": json.dumps(places)},
        files={name: (f"{name}.txt", content, "text/plain") for name, content in (files or {"0": b"content"}).items()},
        headers=dict(headers),
    )
    return response


def store() -> dict[str, Any]:
    return {"query": STORE, "variables": {"file": None}}


async def test_a_file_is_a_variable_and_closed_when_the_request_ends(gateway: Gateway) -> None:
    for content in (b"content", b"x" * 1_500_000):  # in memory, on disk
        response = await upload(gateway, store(), {"0": ["variables.file"]}, {"0": content})
        assert response.json() == {"data": {"store": f"0.txt text/plain {len(content)}"}}
        assert files_schema.SEEN.pop().file.closed


async def test_files_are_put_into_lists_inside_of_objects(gateway: Gateway) -> None:
    operations = {
        "query": "mutation($album: Album!) { album(album: $album) }",
        "variables": {"album": {"title": "summer", "photos": [None, None]}},
    }
    places = {"a": ["variables.album.photos.1"], "b": ["variables.album.photos.0"]}
    response = await upload(gateway, operations, places, {"a": b"sea", "b": b"beach"})
    assert response.json() == {"data": {"album": ["summer: beach", "summer: sea"]}}
    assert all(files_schema.SEEN.pop().file.closed for _ in range(2))


async def test_without_a_header_that_needs_a_preflight_a_form_is_refused(gateway: Gateway) -> None:
    response = await upload(gateway, store(), {"0": ["variables.file"]}, headers={"origin": "https://evil.example"})
    assert (response.status_code, code(response)) == (403, "CSRF_PREVENTED")


@pytest.mark.parametrize(
    ("files", "status", "message"),
    [
        ({"0": b"x" * 2_000_001}, 413, "The file '0' is larger than 2000000 bytes."),
        ({"0": b"1", "1": b"2", "2": b"3"}, 413, "The request has more than 2 files; max_files allows 2."),
    ],
)
async def test_too_many_or_too_large_files_are_refused(
    gateway: Gateway, files: Mapping[str, bytes], status: int, message: str
) -> None:
    response = await upload(gateway, store(), {"0": ["variables.file"]}, files)
    assert (response.status_code, response.json()["errors"][0]["message"]) == (status, message)


@pytest.mark.parametrize(
    ("operations", "places", "message"),
    [
        ([store()], {"0": ["variables.file"]}, "batches are not accepted"),
        (store(), {"1": ["variables.file"]}, "names the file '1', and there is none"),
        (store(), {"operations": ["variables.file"]}, "names the file 'operations', and there is none"),
        (store(), {"0": "variables.file"}, 'The field "map" must be a JSON object'),
        (store(), [], 'The field "map" must be a JSON object'),
        (store(), {"0": ["variables"]}, "says 'variables': there is no null"),
        (store(), {"0": ["query"]}, "says 'query': there is no null"),
        (store(), {"0": [""]}, "says '': there is no null"),
        (store(), {"0": ["variables.other"]}, "there is no null"),
        (store(), {"0": ["variables.file.0"]}, "there is no null"),
        (store(), {"0": ["variables.file", "variables.file"]}, "there is no null"),
        ({"query": STORE, "variables": {"file": [None]}}, {"0": ["variables.file.1"]}, "there is no null"),
        ({"query": STORE, "variables": {"file": [None]}}, {"0": ["variables.file.-1"]}, "there is no null"),
        ({"query": STORE, "variables": {"file": [None]}}, {"0": ["variables.file." + "9" * 5000]}, "there is no null"),
        ({"query": STORE, "variables": {"file": "text"}}, {"0": ["variables.file"]}, "there is no null"),
        ({"query": STORE}, {"0": ["variables.file"]}, "there is no null"),
    ],
)
async def test_a_map_that_does_not_fit_is_refused(
    gateway: Gateway, operations: object, places: object, message: str
) -> None:
    response = await upload(gateway, operations, places)
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert message in response.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="map"\r\n\r\n{}\r\n--b--\r\n',
            400,
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\n{}\r\n--b--\r\n", 400),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="map"\r\n\r\n' + b"x" * 200_000,
            400,
        ),
        ("multipart/form-data; boundary=b", b"x" * 6_000_000, 400),
        ("multipart/mixed; boundary=b", b"", 415),
    ],
)
async def test_what_is_no_form_is_refused(gateway: Gateway, content_type: str, body: bytes, status: int) -> None:
    headers = {"content-type": content_type, **PREFLIGHT}
    response = await gateway.http.post("/graphql", content=body, headers=headers)
    assert response.status_code == status, response.text


async def test_a_form_that_does_not_come_to_an_end_holds_one_place_and_leaves_nothing(gateway: Gateway) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="0"; filename="0"\r\n\r\n'
    host, port = gateway.server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ngraphql-require-preflight: 1\r\ncontent-length: 9000\r\n"
        b"content-type: multipart/form-data; boundary=b\r\n\r\n" + head
    )
    try:
        await _until(gateway, 503)
    finally:
        writer.close()
    await _until(gateway, 200)


async def _until(gateway: Gateway, status: int) -> None:
    """Send files until they are answered so."""
    async with asyncio.timeout(DEADLINE_S):
        while (await upload(gateway, store(), {"0": ["variables.file"]})).status_code != status:
            pass


async def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    clock = ManualClock()
    config = {"server": {"body_timeout_s": 7.0}, "imports": ["tests.e2e.files_schema"]}
    async with running_gateway(config, clock=clock) as gateway:
        host, port = gateway.server.url.removeprefix("http://").split(":")
        for content_type in (b"application/json", b"multipart/form-data; boundary=b"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /graphql HTTP/1.1\r\nhost: x\r\ngraphql-require-preflight: 1\r\ncontent-length: 9\r\n"
                b"content-type: " + content_type + b"\r\n\r\n"
            )
            await clock.wait_for_timeouts(1)
            await clock.advance(7.0)
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()


async def test_files_stay_in_this_process_and_a_subgraph_that_wants_one_is_refused() -> None:
    sdl = """
        scalar Upload
        type Query { version: String }
        type Mutation { keep(file: Upload): String }
    """
    async with ScriptedSubgraph.made(sdl, {"version": "1", "keep": "never"}) as remote:
        overrides = {"imports": ["tests.e2e.files_schema"], "federation": {}}
        async with federated_gateway({"remote": remote}, overrides) as gateway:
            local = await upload(gateway, store(), {"0": ["variables.file"]})
            assert local.json() == {"data": {"store": "0.txt text/plain 7"}}
            operations = {"query": "mutation($file: Upload) { keep(file: $file) }", "variables": {"file": None}}
            calls = len(remote.graphql.calls)
            refused = await upload(gateway, operations, {"0": ["variables.file"]})
            assert refused.json()["data"] == {"keep": None}
            assert code(refused) == "UPLOAD_NOT_SUPPORTED"
            assert len(remote.graphql.calls) == calls
