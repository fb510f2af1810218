"""No other site's page can make a browser run an operation here.

A forged request works with what the browser adds by itself: cookies, HTTP authentication. Every request is one of:

1. POST. It needs `Content-Type: application/json`, which a browser sends across sites only after a CORS preflight; a
   form with files, which a browser sends without one, needs one of `PREFLIGHT_HEADERS` instead.
2. GET with a header that needs a preflight too: `Content-Type: application/json` or one of `PREFLIGHT_HEADERS`.
3. GET that a browser vouches for: `Sec-Fetch-Site` says `same-origin`, or `none` for a person's own navigation.
4. GET that no forger gains from: no `Sec-Fetch-Site`, and nothing that a browser would have added: no `Origin`, no
   `Cookie`, no `Authorization` of a scheme that browsers repeat. Whoever sends it could have asked from anywhere.

Anything else is refused. The fourth rule is for curl, for servers, and for the audit of GraphQL over HTTP, whose GETs
carry `Accept` alone. `Accept` itself proves nothing: a page may set it without a preflight. Mutations never run over
GET, so the rules for GET guard against reading by side channel, not against writing.

Fetch standard, "CORS-safelisted request-header"; W3C Fetch Metadata, §2.2 `Sec-Fetch-Site`.
"""

from collections.abc import Mapping

from gateway.http.errors import CrossSiteRequest
from gateway.http.negotiation import is_json

PREFLIGHT_HEADERS = ("apollo-require-preflight", "graphql-require-preflight", "x-apollo-operation-name")
"""Any of these, with a value, shows that a browser asked for permission first."""

# Browsers repeat these schemes without the page's doing; a bearer token is put there by code.
_AMBIENT_SCHEMES = frozenset({"basic", "digest", "negotiate", "ntlm"})


def check_get(headers: Mapping[str, str]) -> None:
    """Raise `CrossSiteRequest` unless a GET is one of the kinds above; `headers` by lower-case name."""
    if any(headers.get(name) for name in PREFLIGHT_HEADERS) or is_json(headers.get("content-type")):
        return
    site = headers.get("sec-fetch-site")
    if site is None:
        scheme = headers.get("authorization", "").partition(" ")[0].lower()
        forgeable = "origin" in headers or "cookie" in headers or scheme in _AMBIENT_SCHEMES
    else:
        forgeable = site.lower() not in ("same-origin", "none")
    if forgeable:
        raise CrossSiteRequest(
            "A GET request from a browser needs a header that another site cannot set: "
            f"one of {', '.join(PREFLIGHT_HEADERS)}, or Content-Type: application/json."
        )
