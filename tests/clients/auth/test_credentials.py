"""API keys, tokens and passwords, as they reach an upstream over a socket."""

import asyncio
import traceback
from pathlib import Path

import pytest

from clients.auth import ApiKeyHeader, ApiKeyQuery, Authorizer, Basic, Bearer, FileSecret, Secret, WireRequest
from clients.auth.secret import not_text
from clients.errors import CredentialUnavailable, Rejected, UpstreamError
from clients.transports import WireResponse
from tests.clients.auth.support import authorized, wants
from tests.clients.support import ONE, REST_ONLY, ask_one
from tests.testkit.clock import ManualClock
from tests.testkit.upstream import Behaviour, malformed, reset, status


@pytest.mark.parametrize(
    ("authorizer", "header", "value"),
    [
        (ApiKeyHeader("x-api-key", Secret("k 1")), "x-api-key", "k 1"),
        (Bearer(Secret("abc")), "authorization", "Bearer abc"),
        (Basic("me", Secret("p:ä")), "authorization", "Basic bWU6cDrDpA=="),
    ],
)
async def test_every_attempt_over_both_protocols_carries_the_header(
    authorizer: Authorizer, header: str, value: str
) -> None:
    async with authorized(authorizer, graphql=None) as rest, authorized(authorizer) as both:
        await rest.execute(ask_one(declared=REST_ONLY))
        await both.execute(ask_one(declared=ONE))
        calls = [*rest.script.rest.calls, *both.script.graphql.calls]
    assert [call.headers[header] for call in calls] == [value, value]


async def test_a_key_in_the_query_is_coded_and_joined_to_what_is_there() -> None:
    authorizer = ApiKeyQuery("api key", Secret("a&b=ü"))
    async with authorized(authorizer) as rig:
        rig.script.graphql.behave(wants("never"))
        with pytest.raises(Rejected) as caught:
            await rig.execute(ask_one())
        call = rig.script.graphql.calls[0]
    assert call.query_string == "api%20key=a%26b%3D%C3%BC"
    assert "a&b" not in str(caught.value)
    request = WireRequest("GET", "http://crm/a?b=c", {})
    assert (await authorizer.authorize(request)).url == "http://crm/a?b=c&api%20key=a%26b%3D%C3%BC"
    assert "crm" not in repr(request)


@pytest.mark.parametrize("kind", ["header", "query"])
async def test_a_401_makes_a_rotated_file_be_read_at_once_and_the_call_is_made_again(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    secret = FileSecret(file, not_text, ManualClock(), print)  # its clock stands still: only the 401 makes it look
    authorizer = ApiKeyHeader("x-api-key", secret) if kind == "header" else ApiKeyQuery("key", secret)
    async with authorized(authorizer) as rig:
        if kind == "header":
            rig.script.graphql.behave(wants("new", header="x-api-key"))
        file.write_text("newer")
        file.write_text("new")
        if kind == "header":
            await rig.execute(ask_one())
            assert [call.headers["x-api-key"] for call in rig.script.graphql.calls] == ["old", "new"]
        else:
            rig.script.graphql.behave(wants("nobody"))
            with pytest.raises(Rejected):
                await rig.execute(ask_one())
            assert [call.query_string for call in rig.script.graphql.calls] == ["key=old", "key=new"]


async def test_a_401_to_a_credential_that_is_still_the_same_is_the_answer() -> None:
    async with authorized(Bearer(Secret("abc"))) as rig:
        rig.script.graphql.behave(wants("Bearer other"))
        with pytest.raises(Rejected, match="answered 401"):
            await rig.execute(ask_one())
        assert rig.calls == (1, 0)


class Broken(Authorizer):
    """Fails with words that nobody may see."""

    async def authorize(self, request: WireRequest) -> WireRequest:
        raise RuntimeError("hush")


async def test_an_authorizer_that_fails_sends_nothing_and_its_words_are_not_told() -> None:
    async with authorized(Broken(), rest=None) as rig:
        with pytest.raises(CredentialUnavailable, match="the authorizer failed with RuntimeError") as caught:
            await rig.execute(ask_one())
        assert "hush" not in str(caught.value)
        assert rig.calls == (0, 0)


class Waiting(Authorizer):
    """Waits until it is cancelled."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = False
        self.closed = False

    async def authorize(self, request: WireRequest) -> WireRequest:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return request

    async def aclose(self) -> None:
        self.closed = True


async def test_waiting_for_a_credential_is_part_of_the_attempt_and_ends_with_it() -> None:
    authorizer = Waiting()
    async with authorized(authorizer) as rig:
        call = rig.start(ask_one())
        await authorizer.began.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert authorizer.cancelled
        assert not authorizer.closed
    assert authorizer.closed


class Careless(Authorizer):
    """Sets what no header can carry."""

    async def authorize(self, request: WireRequest) -> WireRequest:
        return request.with_headers({"x-key": "hush\r\nx: y"})


@pytest.mark.parametrize(
    "authorizer",
    [Careless(), Broken(), ApiKeyQuery("k", Secret("hush")), Basic("u", Secret("hush"))],
    ids=lambda a: type(a).__name__,
)
@pytest.mark.parametrize(
    "behaviour", [status(401), status(500), malformed(), reset()], ids=["401", "500", "garbage", "reset"]
)
async def test_no_error_nor_anything_it_came_of_says_the_secret(authorizer: Authorizer, behaviour: Behaviour) -> None:
    async with authorized(authorizer) as rig:
        rig.script.graphql.behave(behaviour)
        rig.script.rest.behave(behaviour)
        with pytest.raises(UpstreamError) as caught:
            await rig.execute(ask_one())
    told = [caught.value, *getattr(caught.value, "causes", ())]
    text = "".join("".join(traceback.format_exception(error)) for error in told) + repr(rig.hooks.attempts)
    assert "hush" not in text
    assert "aHVzaA" not in text


class Stumbling(Authorizer):
    """Fails when it is asked after a 401."""

    async def authorize(self, request: WireRequest) -> WireRequest:
        return request

    async def refused(self, request: WireRequest, response: WireResponse) -> WireRequest | None:
        raise LookupError("hush")


async def test_an_authorizer_that_fails_after_a_401_is_told_alike() -> None:
    async with authorized(Stumbling(), rest=None) as rig:
        rig.script.graphql.behave(status(401))
        with pytest.raises(CredentialUnavailable, match="the authorizer failed with LookupError"):
            await rig.execute(ask_one())
        assert rig.calls == (1, 0)
