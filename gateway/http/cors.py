"""Pages of other origins may ask the gateway where the configuration names them, and nobody else's may (Fetch, §3.2).

Starlette's middleware stands around the endpoint where `cors:` is configured, and nowhere else. Preflights end in it.
"""

import re
from collections.abc import Callable, Mapping

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.config.cors import CorsConfig

AllowedOrigin = Callable[[str, Mapping[str, str]], bool]
"""Whether pages of an origin may open a WebSocket; gets the headers of the handshake, too."""


def with_cors(endpoint: ASGIApp, config: CorsConfig | None) -> ASGIApp:
    """The endpoint, asked from other origins as the configuration allows; the endpoint itself where it allows none."""
    if config is None:
        return endpoint
    return CORSMiddleware(
        endpoint,
        allow_origins=config.origins,
        allow_origin_regex=_pattern(config),
        allow_credentials=config.credentials,
        allow_methods=config.methods,
        allow_headers=config.allow_headers,
        expose_headers=config.expose_headers,
        max_age=config.max_age_s,
    )


def allowed_origin(config: CorsConfig | None) -> AllowedOrigin:
    """Which pages may open a WebSocket: those that may ask over HTTP. Browsers let any page, and leave it to us.

    They send cookies along whatever anybody says, so where `*` lets everybody in, then only without: another site's
    page is not to speak for whoever looks at it.
    """
    if config is None:
        return lambda _origin, _headers: False
    if "*" in config.origins:
        return lambda _origin, headers: "cookie" not in headers
    origins, pattern = frozenset(config.origins), re.compile(_pattern(config) or "(?!)")
    return lambda origin, _headers: origin in origins or pattern.fullmatch(origin) is not None


def _pattern(config: CorsConfig) -> str | None:
    return "|".join(f"(?:{pattern})" for pattern in config.origin_patterns) or None
