"""`subscriptions:` of gateway.yaml."""

import msgspec

from clients.policy import PositiveInt, PositiveSeconds


class SubscriptionsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Connections that stay: WebSocket (graphql-transport-ws) and server-sent events, both at /graphql."""

    max_connections: PositiveInt = 10_000
    """WebSockets and event streams open at once, in each process; more are refused with 503. Default 10,000."""
    max_per_connection: PositiveInt = 50
    """Operations at once over one WebSocket; more are answered with an error. Default 50."""
    init_timeout_s: PositiveSeconds = 10.0
    """A WebSocket that has not sent `connection_init` by then is closed with 4408. Default 10."""
    keep_alive_s: PositiveSeconds = 15.0
    """A WebSocket is pinged this often and has as long to answer; an event stream gets a comment. Default 15."""
    send_timeout_s: PositiveSeconds = 30.0
    """A client that takes none of what it is sent for so long is dropped. Default 30."""
    max_lifetime_s: PositiveSeconds | None = None
    """A connection that is older is closed with 1001, and its client connects anew. Off by default."""
