"""What fields may ask of the gateway: the Protocols that its runtime and its request context satisfy."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from clients.call import Caller
from clients.hooks import CircuitEvent
from clients.upstream import Upstream
from loaders.scope import LoaderScope
from schema.operations import Operations


@dataclass(frozen=True, slots=True)
class OpsAccess:
    """What makes an operator; `schema.access` asks it.

    Attributes:
        scope: the one that a caller needs.
        how: how to come by it, for whoever has not got it.
    """

    scope: str
    how: str

    def allows(self, caller: Caller) -> bool:
        """Whether the caller is an operator."""
        return self.scope in caller.scopes


class GatewayLoad(Protocol):
    """How much a gateway has to do."""

    @property
    def in_flight(self) -> int:
        """Requests being answered."""
        ...

    @property
    def limit(self) -> int | None:
        """How many may be; None for any number."""
        ...

    @property
    def lag_s(self) -> float:
        """How long the event loop last kept a new request waiting."""
        ...

    @property
    def shed(self) -> int:
        """Requests refused since the start."""
        ...


class CircuitNews(NamedTuple):
    """A circuit has changed.

    Attributes:
        missed: changes before this one that were forgotten, because the listener did not ask for them in time.
    """

    event: CircuitEvent
    at: datetime
    missed: int


class GatewayState(Protocol):
    """The running gateway, as the schema shows it."""

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """All services by name, in the order of gateway.yaml."""
        ...

    @property
    def started_at(self) -> datetime:
        """When this process began to serve."""
        ...

    @property
    def dependencies(self) -> Mapping[str, str]:
        """What is depended on besides upstreams, and what is wrong with it; an empty string for nothing."""
        ...

    @property
    def load(self) -> GatewayLoad:
        """How much there is to do now."""
        ...

    @property
    def ops_access(self) -> OpsAccess:
        """What makes an operator of a caller."""
        ...

    @property
    def operations(self) -> Operations:
        """What operators may ask beyond all this, and have done."""
        ...

    def circuit_changes(self) -> AbstractContextManager[AsyncIterator[CircuitNews]]:
        """The changes of all circuits from now on, for as long as it is entered."""
        ...

    def wall(self, at: float) -> datetime:
        """A monotonic time of the pipeline as the time people read."""
        ...


class GatewayContext(LoaderScope, Protocol):
    """One request, as the schema's fields see it: `info.context`.

    `caller.scopes` is what it may do.
    """

    @property
    def state(self) -> GatewayState:
        """The gateway that answers it."""
        ...
