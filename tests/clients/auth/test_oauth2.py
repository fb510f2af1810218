"""OAuth 2.0 tokens: asked for once, kept, renewed before they expire, and what happens when they cannot be had."""

import asyncio
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from clients.auth import Secret, WireRequest
from clients.call import ProtocolName
from clients.errors import CredentialRefused, CredentialUnavailable, Rejected, ServiceUnavailable, UpstreamError
from clients.policy import CachePolicy, RetryPolicy
from clients.state.circuit import State
from clients.transports import WireResponse
from tests.clients.auth.support import authorized, oauth2, wants
from tests.clients.support import TOUCH, ask, ask_one
from tests.testkit.clock import ManualClock
from tests.testkit.token_server import TokenServer
from tests.testkit.waiting import until_true


def sent(rig: Any) -> list[str]:
    """The tokens that reached the upstream."""
    return [call.headers["authorization"].removeprefix("Bearer ") for call in rig.script.graphql.calls]


async def test_client_credentials_are_sent_as_the_rfc_says() -> None:
    async with TokenServer() as tokens:
        settings: dict[str, Any] = {
            "client_id": "my id",
            "client_secret": Secret("p:w+d"),
            "scope": "a b",
            "audience": "https://crm",
        }
        authorizer = oauth2(tokens, ManualClock(), **settings)
        async with authorized(authorizer) as rig:
            await rig.execute(ask_one())
            assert sent(rig) == ["token-1"]
    (request,) = tokens.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == "Basic bXkraWQ6cCUzQXclMkJk"  # my+id:p%3Aw%2Bd
    assert request.form == {"grant_type": "client_credentials", "scope": "a b", "audience": "https://crm"}


async def test_credentials_go_into_the_body_where_the_server_has_no_basic() -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock(), in_body=True)) as rig:
        await rig.execute(ask_one())
    (request,) = tokens.requests
    assert "authorization" not in request.headers
    assert request.form == {"grant_type": "client_credentials", "client_id": "gateway", "client_secret": "hush"}


async def test_a_refresh_token_is_replaced_by_what_the_server_gives_for_it() -> None:
    clock = ManualClock()
    async with TokenServer(refresh_token="next") as tokens:
        authorizer = oauth2(tokens, clock, client_secret=None, refresh_token=Secret("mine"))
        async with authorized(authorizer, clock=clock) as rig:
            for _ in range(2):
                await rig.execute(ask_one())
                await clock.advance(4000)
            tokens.extra["refresh_token"] = None  # §6: then the last one goes on
            for _ in range(2):
                await rig.execute(ask_one())
                await clock.advance(4000)
    assert [request.form["refresh_token"] for request in tokens.requests] == ["mine", "next", "next", "next"]
    assert tokens.requests[0].form == {"grant_type": "refresh_token", "refresh_token": "mine", "client_id": "gateway"}


async def test_fifty_calls_at_once_ask_for_one_token() -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock())) as rig:
        tokens.gate.clear()
        calls = [rig.start(ask_one(n)) for n in range(1, 51)]
        await tokens.wait_for_requests(1)
        tokens.gate.set()
        await asyncio.gather(*calls)
        assert len(tokens.requests) == 1
        assert sent(rig) == ["token-1"] * 50


async def test_a_caller_that_goes_away_does_not_end_the_request_for_the_others() -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock())) as rig:
        tokens.gate.clear()
        leader = rig.start(ask_one(1))
        await tokens.wait_for_requests(1)
        follower = rig.start(ask_one(2))
        await rig.clock.settle()
        leader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leader
        tokens.gate.set()
        await follower
        assert len(tokens.requests) == 1


async def test_a_token_is_renewed_in_the_background_before_it_expires() -> None:
    clock = ManualClock()
    async with TokenServer(expires_in=1000) as tokens, authorized(oauth2(tokens, clock), clock=clock) as rig:
        await rig.execute(ask_one(1))
        await clock.advance(799)
        await rig.execute(ask_one(2))
        assert len(tokens.requests) == 1
        await clock.advance(102)
        tokens.gate.clear()
        for number in range(3, 6):  # the old one is good: nobody waits
            await rig.execute(ask_one(number))
        await tokens.wait_for_requests(2)
        assert sent(rig) == ["token-1"] * 5
        tokens.gate.set()
        await until_true(lambda: not [t for t in asyncio.all_tasks() if t.get_name() == "breakwater token"], "token")
        await rig.execute(ask_one(6))
        assert sent(rig)[-1] == "token-2"
        assert len(tokens.requests) == 2


async def test_the_time_of_renewal_is_jittered() -> None:
    renewed_at: list[float] = []
    for _ in range(2):
        clock = ManualClock()
        async with TokenServer(expires_in=1000) as tokens:
            authorizer = oauth2(tokens, clock)
            authorizer._random.seed(len(renewed_at))
            async with authorized(authorizer, clock=clock) as rig:
                await rig.execute(ask_one())
                assert authorizer._token is not None
                renewed_at.append(authorizer._token.renew_at - 1000.0)
    assert renewed_at[0] != renewed_at[1]
    assert all(800 <= at <= 900 for at in renewed_at)


async def test_a_renewal_that_fails_is_told_once_and_the_old_token_goes_on() -> None:
    clock, told = ManualClock(), list[str]()
    async with TokenServer(expires_in=1000) as tokens, authorized(oauth2(tokens, clock, told), clock=clock) as rig:
        await rig.execute(ask_one(1))
        tokens.answers = [Response(status_code=503)] * 2
        await clock.advance(905)
        for number in (2, 3):
            await rig.execute(ask_one(number))
            await tokens.wait_for_requests(number)
            await until_true(lambda: len(told) == 1, "word of it")
            await rig.execute(ask_one(number + 10))  # the backoff holds: not asked again with each call
            assert len(tokens.requests) == number
            await clock.advance(2)
        assert set(sent(rig)) == {"token-1"}
        await rig.execute(ask_one(4))
        await tokens.wait_for_requests(4)
    assert told == ["the token is not renewed: the token endpoint answered 503"]


@pytest.mark.parametrize("call", [ask_one(), ask_one(declared=TOUCH)], ids=["query", "mutation"])
async def test_a_401_gets_one_more_attempt_with_a_new_token(call: Any) -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock())) as rig:
        rig.script.graphql.behave(wants("Bearer token-2"))
        await rig.execute(call)
        assert sent(rig) == ["token-1", "token-2"]
        assert rig.circuit(ProtocolName.GRAPHQL).consecutive_failures == 0


async def test_a_hundred_calls_that_all_meet_401_ask_for_one_new_token() -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock())) as rig:
        await rig.execute(ask_one(1))
        rig.script.graphql.behave(wants("Bearer token-2"))
        await asyncio.gather(*(rig.execute(ask_one(n)) for n in range(1, 101)))
        assert len(tokens.requests) == 2


async def test_a_service_that_refuses_every_token_does_not_get_one_with_each_call() -> None:
    clock = ManualClock()
    async with TokenServer() as tokens, authorized(oauth2(tokens, clock), clock=clock) as rig:
        rig.script.graphql.behave(wants("Bearer never"))
        for _ in range(5):
            with pytest.raises(Rejected, match="answered 401"):
                await rig.execute(ask_one())
        assert len(tokens.requests) == 2
        assert rig.calls == (6, 0)  # the first call was made twice
        await clock.advance(10)
        with pytest.raises(Rejected):
            await rig.execute(ask_one())
        assert len(tokens.requests) == 3


async def test_a_dead_token_endpoint_is_left_alone_for_a_while_and_the_circuit_stays_closed() -> None:
    clock = ManualClock()
    async with TokenServer() as tokens, authorized(oauth2(tokens, clock), clock=clock, rest=None) as rig:
        tokens.answers = [Response(status_code=503)] * 100
        waits = []
        for _ in range(8):
            for _ in range(10):
                with pytest.raises(CredentialUnavailable) as caught:
                    await rig.execute(ask_one())
            assert caught.value.retry_after_s is not None
            waits.append(caught.value.retry_after_s)
            await clock.advance(waits[-1])
        assert len(tokens.requests) == 8
        assert rig.calls == (0, 0)
        status = rig.circuit(ProtocolName.GRAPHQL)
        assert (status.state, status.consecutive_failures) == (State.CLOSED, 0)
        bounds = [1, 2, 4, 8, 16, 30, 30, 30]
        assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
        tokens.answers.clear()
        await rig.execute(ask_one())
    assert str(caught.value) == (
        "crm: GraphQL customer: not sent, there is no credential (the token endpoint answered 503)"
    )


async def test_a_call_is_retried_when_the_token_endpoint_may_be_asked_again() -> None:
    clock = ManualClock()
    retry = RetryPolicy(attempts=2, backoff_s=0.1)
    async with TokenServer() as tokens, authorized(oauth2(tokens, clock), clock=clock, retry=retry) as rig:
        tokens.answers = [Response(status_code=503, headers={"retry-after": "7"})]
        call = rig.start(ask_one())
        await clock.wait_for_sleepers(1)
        assert clock.sleepers[0] == 7
        await clock.advance(7)
        await call
        assert sent(rig) == ["token-2"]


async def test_a_mutation_that_had_no_token_goes_to_rest_because_nothing_was_sent() -> None:
    clock = ManualClock()
    async with TokenServer() as tokens, authorized(oauth2(tokens, clock), clock=clock) as rig:
        tokens.answers = [Response(status_code=503)]
        with pytest.raises(ServiceUnavailable) as caught:
            await rig.execute(ask_one(declared=TOUCH))
        assert [cause.code for cause in caught.value.causes] == ["UPSTREAM_CREDENTIAL_UNAVAILABLE"] * 2
        assert len(tokens.requests) == 1
        assert rig.calls == (0, 0)


async def test_a_silent_token_endpoint_is_given_up_before_the_attempt_is() -> None:
    clock = ManualClock()
    async with TokenServer() as tokens, authorized(oauth2(tokens, clock), clock=clock, rest=None) as rig:
        tokens.gate.clear()
        call = rig.start(ask_one())
        await tokens.wait_for_requests(1)
        await clock.advance(2.5)
        with pytest.raises(CredentialUnavailable, match=r"gave no answer within 2\.5 s"):
            await call
        assert rig.circuit(ProtocolName.GRAPHQL).consecutive_failures == 0


async def test_a_token_endpoint_that_cannot_be_reached() -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock()), rest=None) as rig:
        await tokens.server.refuse()
        with pytest.raises(CredentialUnavailable, match="the token endpoint: "):
            await rig.execute(ask_one())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (JSONResponse({"error": "invalid_client"}, 401), r"the token endpoint answered 401 \(invalid_client\)"),
        (JSONResponse({"error": "invalid_scope"}, 400), r"answered 400 \(invalid_scope\)"),
        (JSONResponse({"error": "hush", "error_description": "hush"}, 400), "answered 400[)]"),
        (PlainTextResponse("hush", 404), "answered 404[)]"),
    ],
)
async def test_a_refused_client_is_told_with_the_servers_code_alone_and_not_tried_again(
    answer: Response, expected: str
) -> None:
    clock = ManualClock()
    retry = RetryPolicy(attempts=3)
    keep = CachePolicy(stale_if_error_s=10_000)
    async with (
        TokenServer(expires_in=100) as tokens,
        authorized(oauth2(tokens, clock), clock=clock, rest=None, retry=retry, cache=keep) as rig,
    ):
        await rig.execute(ask(1))
        await clock.advance(100)
        tokens.answers = [answer]
        with pytest.raises(CredentialRefused, match=expected) as caught:  # and nothing stale: access was withdrawn
            await rig.execute(ask(1))
        assert "hush" not in str(caught.value)
        assert len(tokens.requests) == 2
        assert rig.calls == (1, 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PlainTextResponse("hush"), "is no JSON object"),
        (JSONResponse(["hush"]), "is no JSON object"),
        (PlainTextResponse("[" * 20_000), "is no JSON object"),
        (PlainTextResponse("x" * 100_000), "larger than 65536 bytes"),
        (JSONResponse({}), "has no access_token"),
        (JSONResponse({"access_token": 5, "token_type": "bearer"}), "has no access_token"),
        (JSONResponse({"access_token": "", "token_type": "bearer"}), "what no header can carry"),
        (JSONResponse({"access_token": "hush\r\nx: y", "token_type": "bearer"}), "what no header can carry"),
        (JSONResponse({"access_token": "hush", "token_type": "mac"}), "token_type is not Bearer"),
        (JSONResponse({"access_token": "hush"}), "token_type is not Bearer"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": 0}), "expires_in is not"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": -5}), "expires_in is not"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": "soon"}), "expires_in is not"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": "nan"}), "expires_in is not"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": True}), "expires_in is not"),
        (JSONResponse({"access_token": "hush", "token_type": "bearer", "expires_in": [1]}), "expires_in is not"),
        (Response(status_code=302, headers={"location": "http://hush"}), "answered 302"),
    ],
)
async def test_an_answer_that_is_not_as_agreed_is_no_token(answer: Response, expected: str) -> None:
    async with TokenServer() as tokens, authorized(oauth2(tokens, ManualClock()), rest=None) as rig:
        tokens.answers = [answer]
        with pytest.raises(UpstreamError, match=expected) as caught:
            await rig.execute(ask_one())
        assert isinstance(caught.value, CredentialUnavailable)
        assert "hush" not in str(caught.value)
        assert rig.calls == (0, 0)


@pytest.mark.parametrize(
    ("expires_in", "kept_s"),
    [(None, 295), ("1000", 995), (1000.5, 995.5), (10**30, 86_395), (10, 9.5), (0.1, 0.095)],
)
async def test_how_long_a_token_is_kept(expires_in: object, kept_s: float) -> None:
    clock = ManualClock()
    async with TokenServer(expires_in=expires_in) as tokens:
        authorizer = oauth2(tokens, clock)
        async with authorized(authorizer, clock=clock) as rig:
            await rig.execute(ask_one())
            assert authorizer._token is not None
            assert authorizer._token.expires_at == pytest.approx(1000 + kept_s)
            await clock.advance(kept_s + 0.001)
            await rig.execute(ask_one(2))
            assert sent(rig) == ["token-1", "token-2"]


async def test_closing_ends_what_is_asked_for() -> None:
    async with TokenServer() as tokens:
        authorizer = oauth2(tokens, ManualClock())
        async with authorized(authorizer, rest=None) as rig:
            tokens.gate.clear()
            call = rig.start(ask_one())
            await tokens.wait_for_requests(1)
            await authorizer.aclose()
            with pytest.raises(CredentialUnavailable, match="the wire is closed"):
                await call
            with pytest.raises(CredentialUnavailable, match="the wire is closed"):
                await rig.execute(ask_one())
        tokens.gate.set()


async def test_nothing_of_a_client_or_its_token_shows() -> None:
    async with TokenServer() as tokens:
        authorizer = oauth2(tokens, ManualClock())
        async with authorized(authorizer) as rig:
            await rig.execute(ask_one())
            shown = f"{authorizer!r} {authorizer._client!r} {authorizer._token!r}"
    assert "hush" not in shown
    assert "token-1" not in shown


async def test_a_401_to_an_older_token_gets_the_one_that_came_meanwhile() -> None:
    async with TokenServer() as tokens:
        authorizer = oauth2(tokens, ManualClock())
        old = await authorizer.authorize(WireRequest("GET", "http://crm", {}))
        for _ in range(2):  # two calls that were sent with it, answered one after the other
            again = await authorizer.refused(old, WireResponse(401, {}, b""))
            assert again is not None
            assert again.headers["authorization"] == "Bearer token-2"
        assert len(tokens.requests) == 2
        await authorizer.aclose()
