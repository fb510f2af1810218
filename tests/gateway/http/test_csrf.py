import pytest
from starlette.datastructures import Headers

from gateway.http.csrf import PREFLIGHT_HEADERS, check_get
from gateway.http.errors import CrossSiteRequest
from tests.gateway.http.support import URL, SchemaHandler, client, endpoint

CROSS_SITE = {"sec-fetch-site": "cross-site"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "application/json"},
        {"authorization": "Bearer token"},
        {"authorization": "bearer token", "accept": "*/*"},
        {"sec-fetch-site": "same-origin", "cookie": "session=1", "origin": "https://here.test"},
        {"sec-fetch-site": "none", "cookie": "session=1"},
        {"sec-fetch-site": "Same-Origin"},
        {**CROSS_SITE, "content-type": "application/json"},
        {**CROSS_SITE, "content-type": "application/json; charset=utf-8", "cookie": "session=1"},
        *({**CROSS_SITE, name: "1", "cookie": "session=1"} for name in PREFLIGHT_HEADERS),
    ],
)
def test_a_get_that_no_other_site_can_forge_passes(headers: dict[str, str]) -> None:
    check_get(Headers(headers))


@pytest.mark.parametrize(
    "headers",
    [
        CROSS_SITE,
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "same-origin, none"},
        {**CROSS_SITE, "accept": "application/graphql-response+json"},
        {**CROSS_SITE, "authorization": "Bearer token"},
        {"origin": "https://elsewhere.test"},
        {"origin": "null"},
        {"cookie": "session=1"},
        {"authorization": "Basic dTpw"},
        {"authorization": "NEGOTIATE token"},
        {"authorization": "NTLM"},
        {"authorization": 'Digest username="u"'},
        {"cookie": "session=1", "content-type": "text/plain"},
        {"cookie": "session=1", "content-type": "text/plain;application/json"},
        {"cookie": "session=1", "content-type": "application/x-www-form-urlencoded"},
        *({"cookie": "session=1", name: ""} for name in PREFLIGHT_HEADERS),
    ],
)
def test_a_get_that_a_browser_may_have_been_made_to_send_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(CrossSiteRequest, match="apollo-require-preflight"):
        check_get(Headers(headers))


async def test_a_forgeable_get_is_403_and_nothing_is_executed() -> None:
    handler = SchemaHandler()
    async with client(endpoint(handler)) as http:
        response = await http.get(URL, params={"query": "{ hello }"}, headers={"cookie": "session=1"})
    (error,) = response.json()["errors"]
    assert (response.status_code, handler.calls) == (403, 0)
    assert (error["extensions"]["code"], error["extensions"]["category"]) == ("CSRF_PREVENTED", "authorization")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_post_as_a_form_would_send_it_is_415_even_with_a_preflight_header(content_type: str) -> None:
    handler = SchemaHandler()
    headers = {"content-type": content_type, "apollo-require-preflight": "1", "sec-fetch-site": "same-origin"}
    async with client(endpoint(handler)) as http:
        response = await http.post(URL, content=b'{"query":"mutation{touch}"}', headers=headers)
    assert (response.status_code, handler.calls) == (415, 0)
