"""All of gateway.yaml, as frozen Structs. Every field states its default and what changing it does."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal

import msgspec

from clients.operation import RestRoute
from clients.policy import EndpointsPolicy, FallbackPolicy, PositiveInt, PositiveSeconds, ServicePolicy
from clients.service import DEFAULT_FORWARD, Service
from gateway.access.config import AccessConfig
from gateway.alerts.config import AlertsConfig
from gateway.auth import AuthConfig, HeaderName
from gateway.bodies import BatchingConfig, CompressionConfig, UploadsConfig
from gateway.config.cors import CorsConfig
from gateway.config.headers import ForwardRule, ResponseHeaderRule, relayed, renamed
from gateway.identity.settings import IdentityConfig, OpsConfig, RateLimitConfig
from gateway.persisting import PersistedQueriesConfig
from gateway.subscriptions.config import SubscriptionsConfig
from gateway.telemetry.config import LogConfig, MetricsConfig
from gateway.telemetry.tracing_config import TracingConfig
from gateway.tls import TlsConfig, tls_files

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
# A limit that is meant to be off is written null; a number this large is a slip.
Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
LimitOrZero = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The socket and what a request may cost."""

    host: str = "127.0.0.1"
    """Address to listen on. Default 127.0.0.1; containers want 0.0.0.0."""
    port: Port = 4000
    """Port to listen on. Default 4000; 0 takes a free one."""
    request_timeout_s: PositiveSeconds = 30.0
    """A request's deadline: what has no answer by then is null with an error. Default 30."""
    max_body_bytes: PositiveInt = 1_000_000
    """Largest request body; more is refused with 413. Default 1 MB."""
    body_timeout_s: PositiveSeconds = 30.0
    """A body that has not arrived by then is refused with 408. Default 30."""
    max_header_bytes: PositiveInt = 64_000
    """Largest request line with its headers; more is refused with 431. Default 64 kB."""
    header_timeout_s: PositiveSeconds = 10.0
    """Time for a request's headers, from the connection on; slower is refused with 408. Default 10."""
    max_in_flight: Limit | None = 1_000
    """Requests answered at once; more are refused with 503 and Retry-After. Default 1,000; null turns the limit off."""
    max_loop_lag_s: PositiveSeconds | None = 0.1
    """An event loop whose turns keep taking longer lets fewer requests in. Default 100 ms; null does not look at it."""
    shutdown_grace_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None
    """After SIGTERM: serving, but not ready, until whoever sends traffic notices. Default 3, in development 0."""
    shutdown_timeout_s: PositiveSeconds = 30.0
    """After the grace period: for requests in progress to end, before they are cancelled. Default 30."""
    dedupe_inflight: bool = False
    """Queries that ask the same at the same time for the same caller share one execution. Default false."""
    graphiql: bool | None = None
    """Serve GraphiQL at /graphql. Default: in development only."""
    introspection: bool | None = None
    """Answer introspection. Default: in development only."""
    batching: BatchingConfig | None = None
    """Several operations in one request. Off by default; `{}` turns it on."""
    compression: CompressionConfig | None = None
    """Compressed answers for clients that ask for them. Off by default; `{}` turns it on."""
    uploads: UploadsConfig = UploadsConfig()

    def grace_s(self, *, development: bool) -> float:
        """`shutdown_grace_s`, or its default."""
        if self.shutdown_grace_s is None:
            return 0.0 if development else 3.0
        return self.shutdown_grace_s


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a document may ask for; more is refused before validation, with 400. Fragments count at each spread."""

    max_depth: Limit | None = 15
    """Fields inside one another; introspection is left out where it is on. Default 15; null turns the limit off."""
    max_aliases: LimitOrZero | None = 30
    """Aliased fields. Default 30; null turns the limit off."""
    max_directives: LimitOrZero | None = 50
    """Directives, @skip and @include among them. Default 50; null turns the limit off."""
    max_root_fields: Limit | None = 20
    """Fields of Query, Mutation or Subscription. Default 20; null turns the limit off."""
    max_selections: Limit | None = 10_000
    """Fields, fragment spreads and inline fragments. Default 10,000; null turns the limit off."""
    max_tokens: Limit | None = 5_000
    """Tokens of the text, comments included. Default 5,000; null turns the limit off."""
    cost: Literal["log", "enforce"] | None = None
    """What becomes of an operation over `max_cost`: log it, or enforce the limit. Default null: nobody looks."""
    max_cost: Limit = 1_000
    """Cost of an operation by the sizes of its lists, `@cost` and `@listSize`; see `cost`. Default 1,000."""
    assumed_list_size: Limit = 10
    """Items of a list whose field has no `@listSize`, for the cost. Default 10."""


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The memory that answers are kept in, for all services together."""

    max_entries: PositiveInt = 100_000
    """Entries kept; the least recently used goes first. Default 100,000."""
    max_bytes: PositiveInt = 64_000_000
    """Bytes of answers kept. Default 64 MB."""


class RedisConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second level that instances share and that outlives them. Without it answers are kept in memory only."""

    url: str
    """redis://, rediss:// or unix:// URL."""
    timeout_s: PositiveSeconds = 0.05
    """For connecting and for each reply; slower counts as a miss. Default 50 ms."""
    fleet_every_s: PositiveSeconds = 2.0
    """How often an instance tells the others of itself; after four times as long in silence it is gone. Default 2."""

    def __repr__(self) -> str:
        return f"RedisConfig(timeout_s={self.timeout_s!r})"  # the URL may hold a password


class SubgraphConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Makes a service a federation subgraph."""

    sdl: str | None = None
    """File with its SDL, relative to this file. Default: the service is asked for it (`_service { sdl }`)."""


class FederationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The supergraph: from a file or address, or composed of the services that are subgraphs."""

    supergraph: str | None = None
    """File (relative to this file) or http(s) URL of a supergraph SDL. Default: the subgraphs below are composed."""
    poll_interval_s: PositiveSeconds | None = 10.0
    """How often the source is looked at for a newer one; null looks once. Default 10."""
    last_good: str | None = None
    """File that keeps the last good supergraph, to start from when the source is down. Off by default."""
    local: str | None = "local"
    """Name of this process's own schema as a subgraph; null leaves it out. Default local."""
    as_subgraph: bool = False
    """Serve this process's own schema as a subgraph to another gateway (`_service`, `_entities`). Default false."""


class ServiceConfig(ServicePolicy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One upstream. Whatever a profile says can be overridden here, key by key."""

    profile: str = "internal-standard"
    """A profile's name: internal-fast, internal-standard, external-standard, external-critical, or one of yours."""
    graphql: str | None = None
    """URL of its GraphQL endpoint; asked first."""
    rest: str | None = None
    """Base URL of its REST routes; asked when GraphQL does not answer."""
    forward: tuple[HeaderName | ForwardRule, ...] = DEFAULT_FORWARD
    """Request headers it is sent; nothing else of the client's leaves. Default: x-request-id, x-correlation-id."""
    response_headers: tuple[HeaderName | ResponseHeaderRule, ...] = ()
    """Headers of its answers that the client gets. Default: none."""
    headers: dict[HeaderName, str] = msgspec.field(default_factory=dict)
    """Headers sent with every call, such as an API key (write ${NAME}, not the key)."""
    show_errors: bool | None = None
    """Clients get the words of errors it reports, and not the codes alone. Default: in development only."""
    auth: AuthConfig | None = None
    """How the gateway authorizes itself to it. By default it does not."""
    tls: TlsConfig | None = None
    """Certificates: what is trusted besides the system's authorities, and what is shown. Default: nothing."""
    fallback: FallbackPolicy = FallbackPolicy()
    """What answers when neither GraphQL nor REST does. Default: nothing but the last good answer."""
    subgraph: SubgraphConfig | None = None
    """Given (`{}` is enough), the service is composed into the supergraph."""
    routes: dict[str, str] = msgspec.field(default_factory=dict)
    """REST routes (`METHOD /path{?query}`) by operation name; a subgraph's by `Query.field` or entity type too."""

    endpoints: EndpointsPolicy | None = None
    """The endpoints of a service that has several; by default it answers at its URLs."""

    def __repr__(self) -> str:
        return f"ServiceConfig(profile={self.profile!r}, graphql={self.graphql!r}, rest={self.rest!r})"


class ProfileConfig(ServicePolicy, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A profile of your own: another one, with differences."""

    extends: str = "internal-standard"
    """The profile it starts from. Default internal-standard."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of gateway.yaml."""

    mode: Literal["development", "production"] = "production"
    """development turns on GraphiQL, introspection and readable logs. Default production."""
    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    identity: IdentityConfig = IdentityConfig()
    ops: OpsConfig = OpsConfig()
    rate_limit: RateLimitConfig | None = None
    subscriptions: SubscriptionsConfig = SubscriptionsConfig()
    cors: CorsConfig | None = None
    access: AccessConfig = AccessConfig()
    cache: CacheConfig = CacheConfig()
    redis: RedisConfig | None = None
    federation: FederationConfig | None = None
    persisted_queries: PersistedQueriesConfig = PersistedQueriesConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    alerts: AlertsConfig = AlertsConfig()
    tracing: TracingConfig | None = None
    imports: list[str] = []
    """Python modules that declare Query (and Mutation) fields: yours, or those of `schema`."""
    profiles: dict[str, ProfileConfig] = {}
    """Profiles of your own, by name."""
    services: dict[str, ServiceConfig] = {}
    """The upstreams, by name."""

    @property
    def development(self) -> bool:
        """Whether this is a developer's machine."""
        return self.mode == "development"

    @property
    def served_federation(self) -> FederationConfig | None:
        """`federation`, when a supergraph is served; None when it is this process's own schema alone."""
        return None if self.federation is None or self.federation.as_subgraph else self.federation

    def trusted_networks(self) -> list[IPv4Network | IPv6Network]:
        """The networks of `identity.trusted_proxies`."""
        return [ip_network(text) for text in self.identity.trusted_proxies]

    def stand_ins(self, name: str) -> list[str]:
        """The services that are asked in place of `name`, in their order; each once, should they go round."""
        found: list[str] = []
        service = self.services.get(name)
        while service is not None and (other := service.fallback.service) is not None:
            if other in found:
                break
            found.append(other)
            service = self.services.get(other)
        return found

    def clients_services(self) -> list[Service]:
        """The services as the clients take them, in the order of the file."""
        return [_service(name, entry, development=self.development) for name, entry in self.services.items()]


def _service(name: str, entry: ServiceConfig, *, development: bool) -> Service:
    return Service(
        name=name,
        policy=ServicePolicy(**{f: getattr(entry, f) for f in ServicePolicy.__struct_fields__}),
        graphql=entry.graphql,
        rest=entry.rest,
        forward=tuple(header.lower() for header in entry.forward if isinstance(header, str)),
        renamed=renamed(entry.forward),
        response_headers=relayed(entry.response_headers),
        headers={header.lower(): value for header, value in entry.headers.items()},
        routes={operation: RestRoute.parse(route) for operation, route in entry.routes.items()},
        tls=tls_files(entry.tls),
        fallback=entry.fallback,
        endpoints=entry.endpoints,
        show_errors=development if entry.show_errors is None else entry.show_errors,
    )
