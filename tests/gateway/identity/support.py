"""A gateway that says who it takes the caller for."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.testkit.clock import ManualClock
from tests.testkit.gateway import Answered, Gateway, running_gateway
from tests.testkit.issuer import Issuer
from tests.testkit.waiting import until_true

ME = "{ me { user tenant authenticated scopes } }"
NOBODY: dict[str, Any] = {"user": None, "tenant": None, "authenticated": False, "scopes": []}
ADA: dict[str, Any] = {"user": "ada", "tenant": None, "authenticated": True, "scopes": []}


@dataclass(frozen=True)
class Known:
    """A gateway, an issuer whose tokens it takes, and the clock of both."""

    gateway: Gateway
    issuer: Issuer
    clock: ManualClock

    async def ask(self, headers: Mapping[str, str] | None = None) -> Answered:
        """Who am I?"""
        return await self.gateway.ask(ME, headers)

    async def me(self, headers: Mapping[str, str] | None = None) -> Any:
        """Who the gateway takes the caller for; a refusal is a failure."""
        answered = await self.ask(headers)
        assert answered.errors == []
        return answered.data["me"]

    async def refused(self, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Status and code of a refusal."""
        answered = await self.ask(headers)
        [code] = answered.codes
        assert "data" not in answered.body
        return answered.response.status_code, code

    async def refreshed(self) -> None:
        """Let as much time pass as it takes until the keys have been fetched again."""
        fetches = self.issuer.fetches
        await self.clock.wait_for_sleepers(1)
        idle = len(self.clock.sleepers)
        self.clock.jump(self.clock.sleepers[-1])  # of all that is done now and then, this is done least often
        await until_true(lambda: self.issuer.fetches > fetches, "the keys to be fetched")
        await self.clock.wait_for_sleepers(idle)


@asynccontextmanager
async def known(
    *, jwt: Mapping[str, Any] | None = None, issuer: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[Known]:
    """A gateway in production that knows the tokens of one issuer. `jwt` and `issuer` add keys to those sections."""
    clock = ManualClock()
    identity = sections.pop("identity", {})
    async with Issuer(clock) as signer:
        config = {
            "mode": "production",
            "imports": ["schema.customers", "tests.gateway.identity.fields"],
            "identity": {"jwt": {"issuers": [signer.config(**(issuer or {}))], **(jwt or {})}, **identity},
            **sections,
        }
        async with running_gateway(config, clock=clock) as gateway:
            yield Known(gateway, signer, clock)
