"""The status page in a real browser."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from demo.faults import Mode
from demo.products import products_schema
from gateway.app import create_app
from gateway.config import parse
from schema.build import build_schema, core_schema
from tests.e2e.demo_gateway import DemoGateway, demo_gateway
from tests.testkit.browser import CHROMIUM, Watched, fresh_page, open_browser
from tests.testkit.federation import ScriptedSubgraph, federated_gateway
from tests.testkit.gateway import running_gateway
from tests.testkit.serve import serve

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH"),
    pytest.mark.asyncio(loop_scope="module"),  # that of the browser
]

expect.set_options(timeout=15_000)

ASK = "{ invoices(first: 5) { number customer { name } } }"
CUSTOMERS = "#upstream-customers"


def actions() -> list[str]:
    """What gives the schema its mutations for operators, as long as it has none of its own."""
    mutations = core_schema(build_schema()).mutation_type
    return [] if mutations is not None and "forceCircuit" in mutations.fields else ["tests.gateway.ops.actions"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests of this module."""
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    """A page; its time can be moved."""
    async with fresh_page(browser) as fresh:
        await fresh.page.clock.install()
        yield fresh


def is_clean(watched: Watched, url: str) -> bool:
    """Whether nothing was complained of, the page's policy included, and nothing asked of another host."""
    assert watched.complaints == []
    assert [address for address in watched.addresses if not address.startswith((f"{url}/", "data:"))] == []
    return True


@contextlib.asynccontextmanager
async def asked_all_the_time(gateway: DemoGateway) -> AsyncIterator[None]:
    """Somebody else asks, so that there is something to see."""

    async def ask() -> None:
        while True:
            await gateway.ask(ASK)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def first_upstream(page: Page) -> str:
    return await page.locator(".upstream h3").first.inner_text()


async def test_a_broken_upstream_is_seen_with_since_and_why_and_so_is_its_recovery(watched: Watched) -> None:
    quick = {"breaker": {"failures": 3, "open_s": 0.5, "max_open_s": 0.5}}
    async with demo_gateway(customers=quick) as gateway, asked_all_the_time(gateway):
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        await expect(page.locator("h1")).to_have_text("● OK")
        await expect(page.locator("header")).to_contain_text(", live")
        assert await first_upstream(page) == "bank"

        await gateway.break_("customers.graphql")
        broken_at = time.monotonic()
        circuit = page.locator(f"{CUSTOMERS} .circuits li", has_text="GraphQL")
        await expect(circuit).to_contain_text("✖ OPEN")
        print(f"seen {time.monotonic() - broken_at:.2f} s after it broke")  # noqa: T201 - for the reader of -s
        await expect(circuit).to_contain_text("since ")
        await expect(circuit).to_contain_text("UPSTREAM_SERVER_ERROR")
        await expect(page.locator("h1")).to_have_text("▲ degraded")
        await expect(page.locator("header")).to_contain_text("Look at customers")
        assert await first_upstream(page) == "customers"
        await expect(page.locator("#said")).to_contain_text("customers is degraded")
        await expect(page.locator(CUSTOMERS)).to_contain_text("REST")

        await gateway.mend("customers")
        mended_at = time.monotonic()
        await expect(page.locator("h1")).to_have_text("● OK")
        print(f"seen {time.monotonic() - mended_at:.2f} s after it was mended")  # noqa: T201
        await expect(circuit).to_contain_text("● closed")
        await expect(page.locator(".changes li").first).to_contain_text("→ ● closed")

        await gateway.break_("customers", Mode.DOWN)
        await expect(page.locator("section", has_text="Served stale now")).to_contain_text("▲ customers")
        await expect(page.locator("header")).to_contain_text("Look at customers")
        assert is_clean(watched, gateway.server.url)


async def test_it_is_read_in_the_dark_on_a_telephone_and_at_a_desk(watched: Watched) -> None:
    async with running_gateway() as gateway:
        page = watched.page
        await gateway.ask("{ invoices(first: 5) { number customer { name } } }")
        await page.goto(f"{gateway.server.url}/status")
        await page.locator(CUSTOMERS).wait_for()
        colours = {}
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme="light" if scheme == "light" else "dark", reduced_motion="reduce")
            colours[scheme] = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 21, 27)"}
        await page.set_viewport_size({"width": 360, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        chart = page.locator(f"{CUSTOMERS} svg")
        assert "Last 15 minutes: 1 calls, 0 failed" in str(await chart.get_attribute("aria-label"))
        assert is_clean(watched, gateway.server.url)


async def focused(page: Page) -> str:
    return str(await page.evaluate("document.activeElement.textContent.trim()"))


async def tab_to(page: Page, text: str) -> None:
    """Go on with the Tab key until that has the focus."""
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await focused(page) == text:
            return
    raise AssertionError(f"Tab does not lead to {text!r}")


async def test_a_circuit_is_forced_open_and_given_back_with_the_keyboard_alone(watched: Watched) -> None:
    imports = ["schema.customers", "schema.invoices", *actions()]
    async with running_gateway({"imports": imports}) as gateway:
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        await page.locator(CUSTOMERS).wait_for()
        order = []
        for _ in range(6):
            await page.keyboard.press("Tab")
            order.append(await focused(page))
        assert order == ["bank", "Act on bank", "customers", "Act on customers", "invoices", "Act on invoices"]
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

        await page.locator(f"{CUSTOMERS} summary").focus()
        await page.keyboard.press("Enter")
        await tab_to(page, "Force open customers graphql")
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Force the GraphQL circuit of customers open")
        await expect(dialog).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        assert await focused(page) == "Force open customers graphql"

        await page.keyboard.press("Enter")
        await page.keyboard.type("a bad deploy")
        await page.keyboard.press("Enter")  # not without a word that it is meant
        await expect(dialog).to_be_visible()
        await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        circuit = page.locator(f"{CUSTOMERS} .circuits li", has_text="GraphQL")
        await expect(circuit).to_contain_text("▲ forced open by")
        await expect(circuit).to_contain_text("a bad deploy")
        assert await first_upstream(page) == "customers"
        assert await page.locator(f"{CUSTOMERS} details").get_attribute("open") is not None

        await page.get_by_role("button", name="Automatic customers graphql").press("Enter")
        await page.keyboard.type("mended")
        await page.keyboard.press("Enter")
        await expect(circuit).not_to_contain_text("forced")
        await expect(circuit).to_contain_text("▲ half open")
        await gateway.ask('{ customer(id: "1") { name } }')
        await expect(circuit).to_contain_text("● closed")
        assert is_clean(watched, gateway.server.url)


async def test_what_the_gateway_says_against_an_action_is_shown(watched: Watched) -> None:
    imports = ["schema.customers", "schema.invoices", *actions()]
    async with running_gateway({"imports": imports}) as gateway:
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        await page.locator(f"{CUSTOMERS} summary").click()
        await page.locator(f"{CUSTOMERS} [data-do=purgeCache]").evaluate("button => button.dataset.service = 'nobody'")
        await page.locator(f"{CUSTOMERS} [data-do=resetCircuit]").first.evaluate(
            "button => button.dataset.service = 'nobody'"
        )
        await page.locator(f"{CUSTOMERS} [data-do=resetCircuit]").first.click()
        reason = page.locator("#ask-reason")
        if await reason.is_visible():
            await reason.fill("why not")
        await page.locator("#ask-go").click()
        await expect(page.locator("#ask-error")).not_to_be_empty()
        await expect(page.get_by_role("dialog")).to_be_visible()


async def test_in_production_it_asks_for_the_token_and_keeps_it_in_the_tab_alone(watched: Watched) -> None:
    token = "a-token-of-sixteen"
    access = {"mode": "production", "ops": {"admin_token": token}}
    async with running_gateway(access) as gateway:
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        await expect(page.locator("main")).to_contain_text("send the admin token in x-admin-token")
        await page.keyboard.type("not-the-right-token")
        await page.keyboard.press("Enter")
        await expect(page.locator("main")).to_contain_text("This token is not right.")
        await expect(page.locator("#token input")).to_have_value("")
        await page.locator("#token input").fill(token)
        await page.keyboard.press("Enter")
        await page.locator(CUSTOMERS).wait_for()
        await expect(page.locator("header")).to_contain_text(", live")
        assert await page.evaluate("[localStorage.length, document.cookie, Object.values(sessionStorage)]") == [
            0,
            "",
            [token],
        ]
        assert not any(token in address for address in watched.addresses)
        await page.reload()
        await page.locator(CUSTOMERS).wait_for()


async def test_a_restart_of_the_gateway_is_said_and_survived(watched: Watched) -> None:
    config = parse("mode: development", {})
    page = watched.page
    async with serve(create_app(config)) as server:
        await page.goto(f"{server.url}/status")
        await expect(page.locator("h1")).to_have_text("● OK")
        await expect(page.locator("header")).to_contain_text(", live")
    await page.clock.fast_forward(2000)
    await expect(page.locator(".notice")).to_contain_text("Not connected since")
    await expect(page.locator("#said")).to_have_text("Not connected.")
    async with serve(create_app(config), port=server.port):
        await page.clock.fast_forward(2000)
        await expect(page.locator("#said")).to_have_text("Connected again.")
        await expect(page.locator(".notice")).to_have_count(0)
        await expect(page.locator("header")).to_contain_text(", live")


async def hide(page: Page, *, hidden: bool) -> None:
    """As if another tab was looked at; a browser without a window has no other."""
    await page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def test_a_hidden_tab_asks_nothing(watched: Watched) -> None:
    async with running_gateway() as gateway:
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        await expect(page.locator("header")).to_contain_text(", live")
        await hide(page, hidden=True)
        before = len(watched.addresses)
        await page.clock.fast_forward(60_000)
        assert len(watched.addresses) == before
        async with page.expect_request("**/monitoring/status"):
            await hide(page, hidden=False)


async def test_a_supergraph_without_the_gateway_s_own_schema_is_shown_as_well(watched: Watched) -> None:
    async with (
        ScriptedSubgraph.of(products_schema()) as products,
        federated_gateway({"products": products}, {"federation": {"local": None}}) as gateway,
    ):
        page = watched.page
        await page.goto(f"{gateway.server.url}/status")
        row = page.locator("#upstream-products")
        await expect(row).to_contain_text("● healthy")
        await expect(page.locator("header")).to_contain_text(", every 2 s")
        await products.refuse()
        for _ in range(10):
            await gateway.ask("{ products { name } }")
        await page.clock.fast_forward(2000)
        await expect(row).to_contain_text("✖ OPEN")
        assert await page.locator("button:visible").count() == 0
        assert not any(address.endswith("/graphql") for address in watched.addresses)
        assert is_clean(watched, gateway.server.url)
