"""Where a supergraph comes from, and what is said when it cannot be had."""

import gzip
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from gateway.config import Config, load
from gateway.federation.errors import SupergraphError
from gateway.federation.source import (
    FileSource,
    Source,
    SourceError,
    SubgraphsSource,
    UrlSource,
    WithLocal,
    find_source,
)
from gateway.federation.supergraph import parse_supergraph
from gateway.runtime import lent_wire, load_schema
from tests.testkit.federation import ScriptedSubgraph, supergraph_of
from tests.testkit.ports import bound_port, silent_port
from tests.testkit.serve import serve
from tests.testkit.upstream import Behaviour, empty, errors, html, malformed, status

USERS = 'type Query { me: User } type User @key(fields: "id") { id: ID! name: String }'
PETS = 'type User @key(fields: "id") { id: ID! pet: String } type Query { pets: Int }'


class Served:
    """Whatever is at an address, answered with an ETag when there is one."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Response] = lambda _: Response("type Query { a: Int }")
        self.asked: list[str | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.asked.append(request.headers.get("if-none-match"))
            await self.answer(request)(scope, receive, send)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Served, str]]:
    app = Served()
    async with serve(app) as server:
        yield app, f"{server.url}/supergraph.graphql"


async def trouble(source: Source) -> str:
    with pytest.raises(SourceError) as raised:
        await source.fetch()
    return str(raised.value)


def tagged(tag: str, sdl: str) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304)
        return Response(sdl, headers={"etag": tag})

    return answer


# --- files -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "supergraph.graphql"
    file.write_text("one")
    source = FileSource(file)
    first = await source.fetch()
    assert first is not None
    assert (first.sdl, first.origin) == ("one", str(file))
    assert await source.fetch() is None
    file.write_text("three")
    second = await source.fetch()
    assert second is not None
    assert second.digest != first.digest


async def test_another_file_of_the_same_size_and_time_is_read(tmp_path: Path) -> None:
    file, other = tmp_path / "supergraph.graphql", tmp_path / "other"
    file.write_text("one")
    source = FileSource(file)
    await source.fetch()
    other.write_text("two")
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    found = await source.fetch()
    assert found is not None
    assert found.sdl == "two"


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert await trouble(FileSource(tmp_path / "none")) == f"{tmp_path}/none: cannot be read: No such file or directory"
    assert await trouble(FileSource(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"
    (tmp_path / "latin").write_bytes(b"\xe9")
    assert await trouble(FileSource(tmp_path / "latin")) == f"{tmp_path}/latin: is not UTF-8 text"


# --- addresses -------------------------------------------------------------------------------------------------------


async def test_an_address_is_asked_with_the_etag_of_the_last_answer() -> None:
    async with served() as (app, url):
        app.answer = tagged('"1"', "one")
        source = UrlSource(url)
        first = await source.fetch()
        assert first is not None
        assert (first.sdl, first.origin) == ("one", url)
        assert await source.fetch() is None
        app.answer = tagged('"2"', "two")
        assert (await source.fetch()) is not None
        app.answer = lambda _: Response("three")
        assert (await source.fetch()) is not None
        assert (await source.fetch()) is not None
        assert app.asked == [None, '"1"', '"1"', '"2"', None]


@pytest.mark.parametrize("code", [301, 304, 404, 500])
async def test_any_other_status_is_trouble(code: int) -> None:
    async with served() as (app, url):
        app.answer = lambda _: Response("x", code, headers={"location": "/elsewhere"} if code == 301 else {})
        assert await trouble(UrlSource(url)) == f"{url}: answered {code}, expected 200"


async def test_an_address_that_is_down_is_trouble() -> None:
    with bound_port() as port:
        assert await trouble(UrlSource(f"http://127.0.0.1:{port}/s")) == (
            f"http://127.0.0.1:{port}/s: All connection attempts failed"
        )


async def test_an_address_that_says_nothing_is_given_up() -> None:
    with silent_port() as port:
        url = f"http://127.0.0.1:{port}/s"
        assert await trouble(UrlSource(url, timeout_s=0.05)) == f"{url}: no whole answer within 0.05 s"


async def test_an_address_that_is_none_is_trouble() -> None:
    assert "http://[::1: " in await trouble(UrlSource("http://[::1"))


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_without_end_is_given_up(compressed: bool) -> None:
    body = b"x" * 20_000_001
    headers = {"content-encoding": "gzip"} if compressed else {}
    answer = Response(gzip.compress(body, 1) if compressed else body, headers=headers)
    async with served() as (app, url):
        app.answer = lambda _: answer
        assert await trouble(UrlSource(url)) == f"{url}: answered more than 20000000 bytes"


async def test_an_answer_that_is_not_utf_8_is_trouble() -> None:
    async with served() as (app, url):
        app.answer = lambda _: Response(b"\xe9")
        assert await trouble(UrlSource(url)) == f"{url}: is not UTF-8 text"


# --- subgraphs -------------------------------------------------------------------------------------------------------


def configured(folder: Path, services: dict[str, Any], **federation: Any) -> Config:
    file = folder / "gateway.yaml"
    config = {"federation": {"local": None, **federation}, "services": services}
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return load(file, {})


def source_of(config: Config) -> Source:
    return find_source(config, load_schema(config), partial(lent_wire, config))


async def test_subgraphs_are_asked_for_their_sdls_with_their_headers(tmp_path: Path) -> None:
    async with ScriptedSubgraph.made(USERS, {}) as users:
        (tmp_path / "pets.graphql").write_text(ScriptedSubgraph.made(PETS, {}).sdl)
        services = {
            "users": {"graphql": users.graphql.url, "subgraph": {}, "headers": {"x-key": "k"}},
            "pets": {"graphql": "http://127.0.0.1:9/graphql", "subgraph": {"sdl": "pets.graphql"}},
            "other": {"rest": "http://127.0.0.1:9"},
        }
        source = source_of(configured(tmp_path, services))
        found = await source.fetch()
        assert found is not None
        assert found.origin == "the subgraphs of gateway.yaml"
        subgraphs = {s.name: s.url for s in parse_supergraph(found.sdl).subgraphs.values()}
        assert subgraphs == {"users": users.graphql.url, "pets": "http://127.0.0.1:9/graphql"}
        assert users.graphql.calls[0].headers["x-key"] == "k"
        assert await source.fetch() is None
        assert len(users.graphql.calls) == 2


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (status(500), "answered 500 without an SDL; is it a federation subgraph?"),
        (html(), "answered 200 without an SDL; is it a federation subgraph?"),
        (empty(), "answered 200 without an SDL; is it a federation subgraph?"),
        (malformed(), "answered 200 without an SDL; is it a federation subgraph?"),
        (errors("Cannot query field '_service'"), "answered 200 without an SDL; is it a federation subgraph?"),
        (status(200, body={"data": {"_service": {"sdl": None}}}), ": _service.sdl is not text"),
        (status(200, body=[1]), "answered 200 without an SDL; is it a federation subgraph?"),
    ],
)
async def test_a_service_that_is_no_subgraph_is_named(tmp_path: Path, behaviour: Behaviour, reason: str) -> None:
    async with ScriptedSubgraph.made(USERS, {}) as users:
        users.graphql.behave(behaviour)
        services = {"users": {"graphql": users.graphql.url, "subgraph": {}}}
        said = await trouble(source_of(configured(tmp_path, services)))
        assert said.startswith(f"users: {users.graphql.url}")
        assert said.endswith(reason)


async def test_all_subgraphs_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    with bound_port() as port:
        url = f"http://127.0.0.1:{port}/graphql"
        services = {
            "users": {"graphql": url, "subgraph": {}},
            "pets": {"graphql": url, "subgraph": {"sdl": "none.graphql"}},
        }
        assert (await trouble(source_of(configured(tmp_path, services)))).splitlines() == [
            f"users: {url}: All connection attempts failed",
            f"pets: {tmp_path}/none.graphql: cannot be read: No such file or directory",
        ]


async def test_sdls_that_do_not_compose_are_refused_with_every_reason(tmp_path: Path) -> None:
    (tmp_path / "users.graphql").write_text("type Query {\n  me: User\n  you: {\n}")
    (tmp_path / "pets.graphql").write_text("type Query { pets: Dog }")
    services = {
        name: {"graphql": "http://127.0.0.1:9/graphql", "subgraph": {"sdl": f"{name}.graphql"}}
        for name in ("users", "pets")
    }
    source = source_of(configured(tmp_path, services))
    with pytest.raises(SupergraphError) as raised:
        await source.fetch()
    assert str(raised.value).splitlines() == [
        "the subgraphs do not compose:",
        "  INVALID_GRAPHQL: [pets] line 1: Unknown type 'Dog'.",
        "  INVALID_GRAPHQL: [users] line 3: Syntax Error: Expected Name, found '{'.",
    ]
    assert await source.fetch() is None
    (tmp_path / "users.graphql").write_text("type Query { me: Int }")
    (tmp_path / "pets.graphql").write_text("type Query { pets: Int }")
    assert await source.fetch() is not None


# --- with the local schema -------------------------------------------------------------------------------------------


async def test_the_local_schema_joins_the_subgraphs_and_a_finished_supergraph(tmp_path: Path) -> None:
    async with ScriptedSubgraph.made(USERS, {}) as users:
        services = {"users": {"graphql": users.graphql.url, "subgraph": {}}}
        source = source_of(configured(tmp_path, services, local="here"))
        assert isinstance(source, SubgraphsSource)
        found = await source.fetch()
        assert found is not None
        assert {s.name for s in parse_supergraph(found.sdl).subgraphs.values()} == {"users", "here"}
        assert await source.fetch() is None

        file = tmp_path / "supergraph.graphql"
        file.write_text(supergraph_of({"users": users}))
        source = source_of(configured(tmp_path, {}, local="here", supergraph="supergraph.graphql"))
        assert isinstance(source, WithLocal)
        found = await source.fetch()
        assert found is not None
        assert found.origin == str(file)
        subgraphs = {s.name: s.url for s in parse_supergraph(found.sdl).subgraphs.values()}
        assert subgraphs == {"users": users.graphql.url, "here": ""}
        assert await source.fetch() is None
        file.write_text("{")
        with pytest.raises(SupergraphError):
            await source.fetch()


def test_an_address_is_told_from_a_file(tmp_path: Path) -> None:
    config = configured(tmp_path, {}, supergraph="https://example.org/supergraph")
    assert isinstance(source_of(config), UrlSource)
    config = configured(tmp_path, {}, supergraph="supergraph.graphql")
    assert isinstance(source_of(config), FileSource)
    with pytest.raises(TypeError, match="no section federation"):
        find_source(Config(), load_schema(Config()), partial(lent_wire, Config()))


async def test_json_of_any_depth_is_no_crash(tmp_path: Path) -> None:
    async with served() as (app, url):
        app.answer = lambda _: Response("[" * 100_000)
        services = {"users": {"graphql": url, "subgraph": {}}}
        assert "is it a federation subgraph?" in await trouble(source_of(configured(tmp_path, services)))
        app.answer = lambda _: JSONResponse({"data": {"_service": {"sdl": "type Query { a: Int }"}}})
        assert await source_of(configured(tmp_path, services)).fetch() is not None
