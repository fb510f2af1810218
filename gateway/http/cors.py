"""Pages of other origins may ask the gateway where the configuration names them, and nobody else's may (Fetch, §3.2).

Starlette's middleware stands around the endpoint where `cors:` is configured, and nowhere else. Preflights end in it.
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.config.cors import CorsConfig


def with_cors(endpoint: ASGIApp, config: CorsConfig | None) -> ASGIApp:
    """The endpoint, asked from other origins as the configuration allows; the endpoint itself where it allows none."""
    if config is None:
        return endpoint
    patterns = "|".join(f"(?:{pattern})" for pattern in config.origin_patterns)
    return CORSMiddleware(
        endpoint,
        allow_origins=config.origins,
        allow_origin_regex=patterns or None,
        allow_credentials=config.credentials,
        allow_methods=config.methods,
        allow_headers=config.allow_headers,
        expose_headers=config.expose_headers,
        max_age=config.max_age_s,
    )
