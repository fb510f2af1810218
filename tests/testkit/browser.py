"""A real browser: the Chromium that is installed, driven by playwright; it talks to this machine only."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""The browser found on PATH; None where there is none."""

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(slots=True)
class Watched:
    """A page, with everything it complained of and every address it asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A browser, for several pages that know nothing of each other."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def fresh_page(browser: Browser, *, width: int = 1280, height: int = 720) -> AsyncIterator[Watched]:
    """A page that has kept nothing of earlier ones."""
    page = await browser.new_page(viewport={"width": width, "height": height})
    watched = Watched(page)
    page.on("console", lambda m: watched.complaints.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("request", lambda request: watched.addresses.append(request.url))
    try:
        yield watched
    finally:
        await page.close()


@asynccontextmanager
async def browsing(*, width: int = 1280, height: int = 720) -> AsyncIterator[Watched]:
    """A fresh page of a fresh browser."""
    async with open_browser() as browser, fresh_page(browser, width=width, height=height) as watched:
        yield watched
