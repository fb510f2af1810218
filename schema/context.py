"""What fields may ask of the gateway: the Protocols that its runtime and its request context satisfy."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from clients.upstream import Upstream
from loaders.scope import LoaderScope


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
