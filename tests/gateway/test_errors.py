"""Errors of execution: typed where they are the client's business, masked where they are not."""

import asyncio
import io
from typing import Any

import pytest
import strawberry
from graphql import GraphQLError

from gateway.telemetry import logs
from tests.testkit.gateway import Answered, running_gateway
from tests.testkit.upstream import errors, status


@strawberry.type
class Query:
    """Resolvers that fail in every way."""

    @strawberry.field
    def crash(self) -> str | None:
        """A mistake in a resolver."""
        raise ValueError("canary-secret")

    @strawberry.field
    def refuse(self) -> str | None:
        """An error that is meant for the client."""
        raise GraphQLError("Too many", extensions={"code": "TOO_MANY", "category": "rate_limit", "limit": 3})

    @strawberry.field
    def never(self) -> str:
        """Null where that is not allowed."""
        return None  # type: ignore[return-value]

    @strawberry.field
    async def hang(self) -> str | None:
        """Does not end by itself."""
        await asyncio.Event().wait()
        return None

    @strawberry.field
    async def nowhere(self, info: strawberry.Info) -> str | None:
        """Asks a service that is not configured."""
        info.context.upstream("nowhere")
        return None

    @strawberry.field
    def double(self, number: int) -> int:
        """Takes an argument."""
        return number * 2


async def ask(query: str, request_timeout_s: float = 30, **variables: Any) -> Answered:
    overrides = {"imports": ["tests.gateway.test_errors"], "server": {"request_timeout_s": request_timeout_s}}
    async with running_gateway(overrides) as gateway:
        return await gateway.ask(query, **variables)


async def test_a_crash_is_masked_and_its_cause_goes_to_the_log() -> None:
    stream = io.StringIO()
    logs.configure(json=True, level="info", stream=stream)
    answered = await ask("{ crash }")
    (error,) = answered.errors
    assert answered.data == {"crash": None}
    assert "canary" not in answered.response.text
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["path"] == ["crash"]
    assert "in crash" in stream.getvalue()  # where it comes from, but not what it says
    assert "canary-secret" not in stream.getvalue()
    assert error["extensions"]["requestId"] in stream.getvalue()


async def test_an_error_meant_for_the_client_is_shown_with_its_extensions() -> None:
    (error,) = (await ask("{ refuse }")).errors
    assert error["message"] == "Too many"
    assert error["locations"] == [{"line": 1, "column": 3}]
    assert {k: error["extensions"][k] for k in ("code", "category", "limit")} == {
        "code": "TOO_MANY",
        "category": "rate_limit",
        "limit": 3,
    }


async def test_null_where_none_is_allowed_is_named() -> None:
    answered = await ask("{ never }")
    assert answered.data is None
    assert answered.codes == ["NULL_IN_NON_NULL_POSITION"]


async def test_a_service_that_is_not_configured_is_masked() -> None:
    assert (await ask("{ nowhere }")).codes == ["INTERNAL_SERVER_ERROR"]


async def test_a_resolver_that_does_not_end_is_ended_at_the_deadline() -> None:
    answered = await ask("{ hang }", request_timeout_s=0.05)
    assert answered.codes == ["DEADLINE_EXCEEDED"]


async def test_variables_of_a_wrong_type_are_a_request_error() -> None:
    answered = await ask("query ($n: Int!) { double(number: $n) }", n="three")
    assert "data" not in answered.body
    assert answered.codes == ["BAD_USER_INPUT"]


async def test_a_request_without_a_query_says_so() -> None:
    async with running_gateway() as gateway:
        response = await gateway.http.post("/graphql", json={"variables": {}})
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize("code", ["BAD_USER_INPUT", "FORBIDDEN"])
async def test_an_upstreams_refusal_keeps_its_code(code: str) -> None:
    async with running_gateway() as gateway:
        gateway.invoices.graphql.behave(errors("no", code=code))
        (error,) = (await gateway.ask("{ invoices { id } }")).errors
        assert error["extensions"]["code"] == "UPSTREAM_REJECTED"
        assert error["extensions"]["upstreamCode"] == code
        assert len(gateway.invoices.rest.calls) == 0


async def test_retry_after_is_passed_on() -> None:
    async with running_gateway() as gateway:
        gateway.bank.rest.behave(status(429, headers={"retry-after": "7"}))
        (error,) = (await gateway.ask('{ customer(id: "1") { balance } }')).errors
        assert error["extensions"]["code"] == "UPSTREAM_RATE_LIMITED"
        assert error["extensions"]["retryAfter"] == 7


async def test_errors_that_an_upstream_reports_beside_its_data_are_passed_on_with_their_path() -> None:
    async with running_gateway() as gateway:
        partial = {"invoices": [{"id": "1", "number": "A", "total": 1, "currency": "EUR", "status": "open"}]}
        partial["invoices"][0] |= {"issuedOn": "2026-01-01", "customerId": "1"}
        gateway.invoices.graphql.behave(errors("no customer", data=partial, code="X"))
        answered = await gateway.ask("{ invoices { number } }")
        assert answered.data == {"invoices": [{"number": "A"}]}
        (error,) = answered.errors
        assert error["message"] == "invoices: no customer"
        assert error["extensions"]["upstreamCode"] == "X"
