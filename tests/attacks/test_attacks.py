"""Every attack of the catalogue and every check of graphql-cop, against one gateway in production mode."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.attacks.catalogue import Attack, attacks
from tests.attacks.cop import Check, checks
from tests.attacks.report import carry_out
from tests.attacks.target import Target, target

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    """The gateway; by default it would wait ten times as long for slow headers."""
    async with target(tmp_path_factory.mktemp("attacked"), header_timeout_s=1) as running:
        assert await running.healthy()
        yield running


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
async def test_an_attack_gets_a_clean_answer_and_nobody_else_notices(attack: Attack, attacked: Target) -> None:
    assert (await carry_out(attack, attacked)).failed == ""


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
async def test_graphql_cop_finds_nothing(check: Check, attacked: Target) -> None:
    assert await check.find(attacked) == ""


async def test_all_of_it_leaves_memory_as_it_was(attacked: Target) -> None:
    before = attacked.rss_bytes()
    for _ in range(2):
        for attack in attacks()[:20]:
            await attack.send(attacked)
    assert attacked.rss_bytes() - before < 16_000_000


async def test_the_page_in_the_docs_has_every_attack_and_all_passed() -> None:
    page = PAGE.read_text()
    assert [attack.name for attack in attacks() if f"| {attack.name} |" not in page] == []
    assert [check.name for check in checks() if f"| {check.name} |" not in page] == []
    assert "; FAILED: " not in page
    assert "12 of 12 found nothing" in page
