"""One service as the pipeline sees it: where it is, what it is sent, and how patient the gateway is with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clients.call import Caller, ProtocolName
from clients.headers import Relayed, Renamed
from clients.operation import RestRoute
from clients.policy import EndpointsPolicy, FallbackPolicy, ServicePolicy
from clients.transports.options import NO_TLS_FILES, TlsFiles

DEFAULT_FORWARD = ("x-request-id", "x-correlation-id")
_NOT_VARYING = frozenset({*DEFAULT_FORWARD, "authorization", "x-tenant-id", "x-user-id"})


_OF_CALLER = {
    "x-request-id": "request_id",
    "x-correlation-id": "correlation_id",
    "authorization": "authorization",
    "x-tenant-id": "tenant",
    "x-user-id": "user",
}
"""Headers that are not taken from the client as they are, and what of the caller stands for them."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of gateway.yaml.

    Attributes:
        graphql: URL of its GraphQL endpoint; None when it has none.
        rest: base URL that REST routes are appended to; None when it has none.
        forward: lower-case names of the request's headers that it is sent; nothing else of the client's leaves.
            `authorization`, `x-tenant-id` and `x-user-id` stand for the caller's checked identity.
        renamed: more of them, which are sent under other names or have defaults.
        response_headers: of its answers, those that go to the client.
        headers: sent with every attempt; may hold credentials, so they are never shown.
        routes: by operation name, REST routes that replace the declared ones.
        tls: what its wire trusts and shows.
        fallback: what answers when neither protocol does.
        endpoints: where it is, when that is more than one place.
        address: connections go to this IP address, whatever the URLs' host; Host and TLS name stay the host's.
        show_errors: what it says of its own errors is for clients; otherwise nobody is told its words.
    """

    name: str
    policy: ServicePolicy
    graphql: str | None = None
    rest: str | None = None
    forward: tuple[str, ...] = DEFAULT_FORWARD
    renamed: tuple[Renamed, ...] = ()
    response_headers: tuple[Relayed, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    routes: Mapping[str, RestRoute] = field(default_factory=dict)
    tls: TlsFiles = NO_TLS_FILES
    fallback: FallbackPolicy = field(default_factory=FallbackPolicy)
    endpoints: EndpointsPolicy | None = None
    address: str | None = None
    show_errors: bool = False

    def url(self, protocol: ProtocolName) -> str | None:
        """Where it is asked over this protocol; None when it is not."""
        return self.graphql if protocol is ProtocolName.GRAPHQL else self.rest

    def forwarded(self, caller: Caller) -> dict[str, str]:
        """The caller's headers that this service is sent."""
        found = {}
        for name in self.forward:
            known = _OF_CALLER.get(name)
            value = caller.headers.get(name) if known is None else getattr(caller, known)
            if value is not None:
                found[name] = value
        for rule in self.renamed:
            known = _OF_CALLER.get(rule.source)
            value = caller.headers.get(rule.source) if known is None else getattr(caller, known)
            if value is None:
                value = rule.default
            if value is not None:
                found[rule.name] = value
        return found

    @property
    def varying(self) -> tuple[str, ...]:
        """The client's headers that an answer may depend on; tenant, user and credential are told apart anyway."""
        sent = (*self.forward, *(rule.source for rule in self.renamed))
        return tuple(name for name in sent if name not in _NOT_VARYING)

    def unseen(self, *, public: bool) -> Sequence[str]:
        """The forwarded headers that a kept answer is not told apart by."""
        renamed = (rule.name for rule in self.renamed if public or rule.source in DEFAULT_FORWARD)
        return (*(self.forward if public else DEFAULT_FORWARD), *renamed)
