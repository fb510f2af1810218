"""A call whose time is up is not begun, and still gets what is at hand."""

import pytest
from msgspec.structs import replace

from clients.call import ServedBy
from clients.errors import DeadlineExceeded
from clients.policy import CachePolicy
from tests.clients.support import CALLER, ask, ask_one, customer, rig


async def test_a_call_whose_time_is_up_is_not_begun() -> None:
    async with rig() as made:
        with pytest.raises(DeadlineExceeded, match="before the call was made"):
            await made.execute(ask_one(caller=replace(CALLER, deadline=made.clock.now())))
        assert made.calls == (0, 0)


@pytest.mark.parametrize("batched", [False, True])
async def test_what_is_kept_is_given_though_there_is_no_time_to_ask(batched: bool) -> None:
    async with rig(cache=CachePolicy(stale_if_error_s=60)) as made:
        make = ask if batched else ask_one
        await made.execute(make(1, caller=CALLER))
        answer = await made.execute(make(1, caller=replace(CALLER, deadline=made.clock.now())))
        assert answer.value == ([customer(1)] if batched else customer(1))
        served = answer.served_row(0) if batched else answer.served
        assert (served.by, served.reason) == (ServedBy.STALE, "DEADLINE_EXCEEDED")
        assert made.calls == (1, 0)
