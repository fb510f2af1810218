"""Which pages of other origins may ask the gateway: `cors` of gateway.yaml."""

import re
from urllib.parse import urlsplit

import msgspec

from clients.policy import PositiveInt
from gateway.auth import HeaderName
from gateway.yaml_source import Finding

# Scripts need these to say what happened; those that CORS lets them read anyway are not repeated.
_EXPOSED = ("retry-after", "x-correlation-id", "x-request-id")
_METHODS = ("GET", "POST")


class CorsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pages of other origins a browser lets ask. By default none."""

    origins: list[str] = []
    """Origins as browsers send them: https://app.example.org; `*` is everybody. Default: none."""
    origin_patterns: list[str] = []
    """Regular expressions that whole origins may match instead. Default: none."""
    credentials: bool = False
    """Let browsers send cookies and the like; never with `*`. Default false."""
    methods: tuple[str, ...] = _METHODS
    """HTTP methods: GET, POST or both. Default both."""
    allow_headers: list[HeaderName] = []
    """Request headers that pages may set besides Accept, Accept-Language, Content-Language and Content-Type."""
    expose_headers: tuple[HeaderName, ...] = _EXPOSED
    """Response headers that pages may read. Default retry-after, x-correlation-id, x-request-id."""
    max_age_s: PositiveInt = 600
    """How long browsers may remember a preflight's answer. Default 600."""


def cors_findings(config: CorsConfig | None) -> list[Finding]:
    """What is wrong with `cors:`."""
    if config is None:
        return []
    findings = []
    if not config.origins and not config.origin_patterns:
        findings.append(Finding(("cors",), "names no origin; give origins: or origin_patterns:, or remove it"))
    for index, origin in enumerate(config.origins):
        if reason := _wrong_origin(origin):
            findings.append(Finding(("cors", "origins", index), reason))
    if "*" in config.origins and (config.credentials or len(config.origins) > 1 or config.origin_patterns):
        said = "is everybody, and cannot go with credentials or other origins; name the origins instead"
        findings.append(Finding(("cors", "origins", config.origins.index("*")), said))
    for index, pattern in enumerate(config.origin_patterns):
        try:
            re.compile(pattern)
        except re.error as error:
            findings.append(Finding(("cors", "origin_patterns", index), f"is no regular expression: {error}"))
    findings += [
        Finding(("cors", "methods", index), f"{method} is not asked here; expected GET or POST")
        for index, method in enumerate(config.methods)
        if method not in _METHODS
    ]
    return findings


def _wrong_origin(origin: str) -> str | None:
    if origin == "*":
        return None
    if origin == "null":
        return "null is what any sandboxed page sends; remove it"
    url = urlsplit(origin)
    if url.scheme not in {"http", "https"} or not url.hostname or origin != f"{url.scheme}://{url.netloc.lower()}":
        return f"{origin} is no origin; write scheme, host and port in lower case, such as https://app.example.org"
    return None
