import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.http.graphiql import GraphiQL
from tests.gateway.http.support import endpoint

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    """Asks as a browser's address bar does."""
    graphiql = GraphiQL()
    app = Starlette(routes=[Route("/graphql", endpoint(graphiql=graphiql)), *graphiql.routes()])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway.test", headers={"accept": BROWSER}
    ) as http:
        yield http


async def assets(browser: httpx.AsyncClient) -> list[str]:
    """The addresses that the page loads from."""
    page = (await browser.get("/graphql")).text
    return [str(browser.base_url.join(src)) for src in re.findall(r'(?:src|href)="([^"]+)"', page) if src != "data:,"]


async def test_a_browser_gets_the_page() -> None:
    app = endpoint(graphiql=GraphiQL())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as http:
        page = await http.get("/graphql", headers={"accept": BROWSER, "cookie": "a=1", "sec-fetch-site": "cross-site"})
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.text.startswith("<!doctype html>")
    assert "{assets}" not in page.text


async def test_the_page_allows_no_other_host_no_inline_code_and_no_frame(browser: httpx.AsyncClient) -> None:
    headers = (await browser.get("/graphql")).headers
    policy = dict(entry.split(" ", 1) for entry in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_the_page_is_looked_up_again_each_time_and_kept_apart_from_answers(browser: httpx.AsyncClient) -> None:
    headers = (await browser.get("/graphql")).headers
    assert (headers["cache-control"], headers["vary"]) == ("no-cache", "accept")


async def test_the_page_names_files_of_this_host_only(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/graphql")).text
    assert "//" not in page.replace("<!doctype html>", "")
    assert "<script>" not in page
    assert "style=" not in page
    assert len(await assets(browser)) == 6


async def test_every_file_that_the_page_names_is_there_and_may_be_kept_for_ever(browser: httpx.AsyncClient) -> None:
    for address in await assets(browser):
        asset = await browser.get(address)
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        assert (asset.status_code, asset.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.headers["content-length"] == str(len(asset.content)) != "0"
        assert b"sourceMappingURL" not in asset.content


async def test_no_file_asks_for_a_font(browser: httpx.AsyncClient) -> None:
    for address in await assets(browser):
        if address.endswith(".css"):
            assert "@font-face" not in (await browser.get(address)).text


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other" , W/{}', "*", " {} "])
async def test_a_browser_that_has_the_file_is_told_so(browser: httpx.AsyncClient, form: str) -> None:
    address = (await assets(browser))[0]
    etag = (await browser.get(address)).headers["etag"]
    again = await browser.get(address, headers={"if-none-match": form.format(etag)})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("etag", ['"other"', "", "0", 'W/"other", "another"'])
async def test_a_browser_that_has_another_file_gets_this_one(browser: httpx.AsyncClient, etag: str) -> None:
    asset = await browser.get((await assets(browser))[0], headers={"if-none-match": etag})
    assert asset.status_code == 200
    assert asset.content


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "page.html",
        "update.sh",
        "VERSIONS.md",
        "%2e%2e",
        "..%2f..%2fgraphiql.py",
        "start.js%00",
        "START.JS",
    ],
)
async def test_nothing_but_the_page_s_files_is_served(browser: httpx.AsyncClient, name: str) -> None:
    folder = (await assets(browser))[0].rpartition("/")[0]
    assert (await browser.get(f"{folder}/{name}")).status_code == 404


async def test_files_of_another_version_are_not_served(browser: httpx.AsyncClient) -> None:
    address = (await assets(browser))[0]
    digest = address.split("/")[-2]
    assert (await browser.get(address.replace(digest, "0" * len(digest)))).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_files_are_only_read(browser: httpx.AsyncClient, method: str) -> None:
    assert (await browser.request(method, (await assets(browser))[0])).status_code == 405


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html;q=0.9"])
async def test_a_client_that_prefers_json_gets_no_page(browser: httpx.AsyncClient, accept: str) -> None:
    response = await browser.get("/graphql", params={"query": "{ hello }"}, headers={"accept": accept})
    assert response.json() == {"data": {"hello": "hello world"}}


async def test_a_post_gets_no_page_whatever_it_prefers(browser: httpx.AsyncClient) -> None:
    response = await browser.post("/graphql", json={"query": "{ hello }"})
    assert response.json() == {"data": {"hello": "hello world"}}


async def test_without_graphiql_a_browser_gets_no_page() -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint()), base_url="http://gateway.test") as http:
        only_html = await http.get("/graphql", headers={"accept": "text/html"})
        browser = await http.get("/graphql", headers={"accept": BROWSER})
    assert only_html.status_code == 406
    assert browser.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/api/graphql", "/"])
async def test_files_are_found_from_the_page_wherever_the_endpoint_is(path: str) -> None:
    graphiql = GraphiQL(path)
    page_path = path.rstrip("/") or "/"
    app = Starlette(routes=[Route(page_path, graphiql), *graphiql.routes()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as http:
        page = await http.get(page_path)
        source = re.findall(r'src="([^"]+)"', page.text)[0]
        assert (await http.get(page.url.join(source))).status_code == 200


async def test_files_are_found_behind_a_proxy_that_adds_a_prefix() -> None:
    graphiql = GraphiQL()
    app = Starlette(routes=[Route("/graphql", graphiql), *graphiql.routes()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as http:
        source = re.findall(r'src="([^"]+)"', (await http.get("/graphql")).text)[0]
        outside = httpx.URL("http://proxy.test/prefix/graphql").join(source)
        assert outside.path.startswith("/prefix/")
        assert (await http.get(outside.path.removeprefix("/prefix"))).status_code == 200
