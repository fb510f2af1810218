"""Many loads, one call."""

import asyncio
from typing import Any

import pytest

from clients.call import ServedBy
from clients.errors import MalformedResponse, Rejected, ServiceUnavailable
from clients.policy import CachePolicy
from loaders.row_loader import RowLoader
from tests.clients.support import MANY, ONE, customer, partial
from tests.loaders.support import Scope, scoped
from tests.testkit.upstream import hang, status


def loader(scope: Scope, make: Any = lambda row: row, **options: Any) -> RowLoader:
    return RowLoader(MANY, scope, make, **options)


async def test_rows_are_aligned_to_keys_and_missing_ones_are_null() -> None:
    async with scoped() as (made, scope):
        loaded = await loader(scope).load_many(["3", "999", "1"])
        assert [row.value for row in loaded] == [customer(3), None, customer(1)]
        assert {row.served.by for row in loaded} == {ServedBy.GRAPHQL}
        assert made.calls == (1, 0)


async def test_250_keys_are_three_calls() -> None:
    async with scoped() as (made, scope):
        loaded = await loader(scope).load_many([str(n) for n in range(1, 251)])
        assert [row.value for row in loaded] == [customer(n) for n in range(1, 251)]
        sizes = sorted(len(call.variables["ids"]) for call in made.script.graphql.calls)
        assert sizes == [50, 100, 100]


async def test_equal_keys_are_asked_for_once_in_a_request_whatever_their_type() -> None:
    async with scoped() as (made, scope):
        rows = loader(scope)
        await asyncio.gather(rows.load("1"), rows.load(1), rows.load("1"), rows.load("2"))
        await rows.load("2")
        assert [call.variables["ids"] for call in made.script.graphql.calls] == [["1", "2"]]


async def test_loads_of_the_same_turn_and_of_what_it_woke_are_one_call() -> None:
    async with scoped() as (made, scope):
        rows, parent = loader(scope), asyncio.Event()

        async def child(key: str) -> Any:
            await parent.wait()
            return await rows.load(key)

        children = [asyncio.create_task(child(str(n))) for n in (2, 3)]
        await asyncio.sleep(0)
        first = rows.load("1")
        parent.set()
        await asyncio.gather(first, *children)
        assert [call.variables["ids"] for call in made.script.graphql.calls] == [["1", "2", "3"]]


async def test_a_window_collects_across_turns() -> None:
    async with scoped() as (made, scope):
        rows = loader(scope, window_s=0.02)
        first = rows.load("1")
        for _ in range(20):
            await asyncio.sleep(0)
        assert made.calls == (0, 0)
        await asyncio.gather(first, rows.load("2"))
        assert [call.variables["ids"] for call in made.script.graphql.calls] == [["1", "2"]]


async def test_a_failed_key_fails_only_itself() -> None:
    async with scoped() as (made, scope):
        made.script.fail_key("2", code="FORBIDDEN")
        rows = loader(scope)
        one, two, three = await asyncio.gather(*map(rows.load, "123"), return_exceptions=True)
        assert isinstance(two, Rejected)
        assert not isinstance(one, BaseException)
        assert not isinstance(three, BaseException)
        assert (one.value, three.value) == (customer(1), customer(3))


async def test_a_row_that_nothing_can_be_made_of_fails_only_itself() -> None:
    def make(row: Any) -> Any:
        if row.id == "2":
            raise ValueError("'platinum' is not a valid Tier")
        return row

    async with scoped() as (_, scope):
        rows = loader(scope, make)
        one, two = await asyncio.gather(rows.load("1"), rows.load("2"), return_exceptions=True)
        assert not isinstance(one, BaseException)
        assert isinstance(two, MalformedResponse)
        assert two.message == "crm: customers: the row 2 is out of shape: ValueError"


async def test_a_failed_call_fails_its_keys_and_is_not_remembered() -> None:
    async with scoped() as (made, scope):
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        rows = loader(scope)
        for outcome in await asyncio.gather(rows.load("1"), rows.load("2"), return_exceptions=True):
            assert isinstance(outcome, ServiceUnavailable)
        made.script.graphql.heal()
        assert (await rows.load("1")).value == customer(1)


async def test_a_row_says_how_it_was_served_and_what_was_said_about_it() -> None:
    async with scoped(cache=CachePolicy(max_age_s=60)) as (made, scope):
        row = {"id": "1", "name": "Customer 1"}
        other = {"id": "2", "name": "Customer 2"}
        made.script.graphql.behave(
            partial([row, other], {"message": "one", "path": ["customers", 0, "tier"]}, {"message": "all"})
        )
        one, two = await loader(scope).load_many(["1", "2"])
        assert [problem.message for problem in one.problems] == ["all", "one"]
        assert [problem.message for problem in two.problems] == ["all"]
        made.script.graphql.heal()
        await loader(scope).load_many(["1", "2"])
        await made.clock.advance(70)
        made.script.graphql.behave(status(500))
        made.script.rest.behave(status(500))
        [stale] = await loader(scope).load_many(["1"])
        assert (stale.served.by, stale.served.age_s) == (ServedBy.STALE, 70)


async def test_a_cancelled_request_leaves_no_task_and_no_call() -> None:
    async with scoped("httpx") as (made, scope):
        before = asyncio.all_tasks()
        made.script.graphql.behave(hang())
        request = asyncio.gather(*map(loader(scope).load, "123"))
        await made.script.graphql.wait_for_calls(1)
        request.cancel()
        await asyncio.wait([request])
        await scope.aclose()
        await made.script.graphql.calls[0].wait_for_hang_up()
        await made.clock.settle()
        assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("window_s", [0.0, 0.02])
async def test_a_request_cancelled_before_its_batch_was_sent_sends_nothing_afterwards(window_s: float) -> None:
    async with scoped() as (made, scope):
        request = asyncio.gather(*map(loader(scope, window_s=window_s).load, "123"))
        request.cancel()
        await asyncio.wait([request])
        await scope.aclose()
        later = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.04, later.set_result, None)
        await later
        assert scope.tasks == set()
        assert made.calls == (0, 0)


async def test_keys_whose_callers_have_gone_are_not_asked_for() -> None:
    async with scoped() as (made, scope):
        rows = loader(scope)
        gone, stays = rows.load("1"), rows.load("2")
        gone.cancel()
        await stays
        assert [call.variables["ids"] for call in made.script.graphql.calls] == [["2"]]


async def test_a_loader_needs_a_batched_operation() -> None:
    async with scoped() as (_, scope):
        with pytest.raises(TypeError, match="customer is not a batched operation"):
            RowLoader(ONE, scope, lambda row: row)
