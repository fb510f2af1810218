"""A few hundred of the requests that `python -m tests.attacks.fuzz` sends by the ten thousand."""

from pathlib import Path

from tests.attacks.fuzz import MODULES, break_upstreams, operations, requests, run
from tests.attacks.target import target


async def test_requests_that_nobody_would_write_get_clean_answers_and_learn_no_secret(tmp_path: Path) -> None:
    made = requests(200, 3, operations(60, 3))
    async with target(tmp_path, modules=MODULES) as attacked:
        break_upstreams(attacked)
        result = await run(attacked, made)
    assert result.wrong == []
    assert result.statuses["200"] > 20
    assert result.statuses["400"] > 20
    assert result.statuses.total() == 200
