"""The pictures of the documentation: `python -m tests.e2e.screenshots`; it takes the time that the charts show.

The demo is asked for 15 minutes. Meanwhile the bank is slow for a while, and reviews flaky; at last customers' GraphQL
fails, and then the whole service is down.
"""

import argparse
import asyncio
import math
import random
import time
from pathlib import Path

from demo.faults import Mode
from tests.e2e.demo_gateway import DemoGateway, demo_gateway
from tests.testkit.browser import browsing

_IMAGES = Path(__file__).parents[2] / "docs" / "images"
_LAST_S = 75.0  # of the time, for what the picture is about


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="make the pictures of the documentation")
    parser.add_argument("--minutes", type=float, default=15.5, help="default: 15.5")
    parser.add_argument("--folder", type=Path, default=_IMAGES, help="default: docs/images")
    options = parser.parse_args()
    asyncio.run(_picture(options.minutes * 60, options.folder / "status.png"))


async def _picture(duration_s: float, file: Path) -> None:
    async with demo_gateway() as gateway:
        asking = asyncio.create_task(_ask(gateway, random.Random(1)))
        before_s = duration_s - _LAST_S
        await asyncio.sleep(before_s * 0.3)
        await gateway.break_("bank", Mode.SLOW)
        await asyncio.sleep(before_s * 0.1)
        await gateway.mend("bank")
        await asyncio.sleep(before_s * 0.25)
        await gateway.break_("reviews", Mode.FLAKY)
        await asyncio.sleep(before_s * 0.1)
        await gateway.mend("reviews")
        await asyncio.sleep(before_s * 0.25)
        await gateway.break_("customers.graphql")
        await asyncio.sleep(_LAST_S / 2)
        await gateway.break_("customers", Mode.DOWN)
        await asyncio.sleep(_LAST_S / 2)
        async with browsing(width=1100, height=880) as watched:
            await watched.page.goto(f"{gateway.server.url}/status")
            await watched.page.locator("#upstream-customers", has_text="unhealthy").wait_for(timeout=120_000)
            await watched.page.screenshot(path=file)
        asking.cancel()
        await asyncio.wait([asking])


async def _ask(gateway: DemoGateway, chance: random.Random) -> None:
    """Somebody is always asking something, more at times than at others."""
    while True:
        await gateway.ask(f"{{ invoices(first: {chance.randint(1, 12)}) {{ number customer {{ name balance }} }} }}")
        await gateway.ask(f"{{ products(first: {chance.randint(1, 8)}) {{ name reviews {{ body }} }} }}")
        await asyncio.sleep(0.25 + 0.15 * math.sin(time.monotonic() / 40) + chance.random() * 0.1)


if __name__ == "__main__":
    main()
