"""GraphiQL in a real browser, from local files only."""

from urllib.parse import quote

import pytest

from tests.gateway.subscriptions.support import subscribed_gateway
from tests.gateway.subscriptions.ticks import notes
from tests.testkit.browser import CHROMIUM, browsing
from tests.testkit.gateway import Gateway, running_gateway

WAIT = "subscription { onceAndWait { number } }"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH")

QUERY = """{
  invoices(first: 3) {
    number
    total
    customer {
      name
      balance
    }
  }
}"""


@needs_browser
async def test_a_query_is_asked_and_answered_in_the_browser(gateway: Gateway) -> None:
    async with browsing() as watched:
        page = watched.page
        await page.goto(f"{gateway.server.url}/graphql?query={quote(QUERY)}")
        await page.get_by_role("button", name="Execute query (Ctrl-Enter)").click()
        await page.locator(".result-window").get_by_text("Customer 3").wait_for(timeout=15_000)
        assert watched.complaints == []
        assert all(address.startswith((gateway.server.url, "data:")) for address in watched.addresses)


@needs_browser
async def test_the_schema_can_be_read_in_the_browser(gateway: Gateway) -> None:
    async with browsing() as watched:
        page = watched.page
        await page.goto(f"{gateway.server.url}/graphql")
        await page.get_by_role("button", name="Show Documentation Explorer").click()
        await page.get_by_role("link", name="Query", exact=True).click()
        await page.get_by_role("link", name="upstreams", exact=True).wait_for(timeout=15_000)


@needs_browser
async def test_a_subscription_is_listened_to_in_the_browser_until_it_is_stopped() -> None:
    async with subscribed_gateway() as gateway, browsing() as watched:
        page = watched.page
        for query, shown in (("subscription { count(to: 40) { number } }", "40"), (WAIT, "1")):
            await page.goto(f"{gateway.server.url}/graphql?query={quote(query)}")
            await page.get_by_role("button", name="Execute query (Ctrl-Enter)").click()
            await page.locator(".result-window").get_by_text(shown, exact=True).wait_for(timeout=15_000)
        assert notes.running == 1
        await page.get_by_role("button", name="Stop query (Ctrl-Enter)").click()
        await notes.none_running()
        assert watched.complaints == []


async def test_in_production_there_is_no_graphiql_and_no_introspection() -> None:
    async with running_gateway({"mode": "production"}) as gateway:
        page = await gateway.http.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 406
        answered = await gateway.ask("{ __schema { queryType { name } } }")
        assert set(answered.codes) == {"GRAPHQL_VALIDATION_FAILED"}


async def test_graphiql_can_be_switched_on_in_production() -> None:
    async with running_gateway({"mode": "production", "server": {"graphiql": True}}) as gateway:
        page = await gateway.http.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
