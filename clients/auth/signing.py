"""Signed requests: RFC 9421 (HTTP Message Signatures, `hmac-sha256`) over a digest of the body (RFC 9530).

Pure functions. A signature covers the method, the authority, the path, the query, the body, and what headers are asked
for; `created` and a nonce let the other side refuse old requests and repeated ones. The headers of a signed request:

    Content-Digest: sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:
    Signature-Input: sig1=("@method" "@authority" "@path" "@query" "content-digest");created=1767225600;\
nonce="0c5b…";keyid="breakwater";alg="hmac-sha256"
    Signature: sig1=:ke4M…=:

Any library for RFC 9421 can verify it; in Python, `verify` here does, without anything else.
"""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urlsplit

LABEL = "sig1"
ALWAYS = ("@method", "@authority", "@path", "@query", "content-digest")
"""What every signature covers; also of a request without a body: its digest is that of nothing."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_INPUT = re.compile(
    r'sig1=(?P<params>\((?P<covered>"[^"\s]+"(?: "[^"\s]+")*)\)'
    r';created=(?P<created>\d{1,15});nonce="(?P<nonce>[!#-\[\]-~]{1,128})"'
    r';keyid="(?P<key_id>[ !#-\[\]-~]{1,256})";alg="hmac-sha256")'
)
_SIGNATURE = re.compile(r"sig1=:(?P<bytes>[A-Za-z0-9+/]{43}=):")


class SignatureInvalid(Exception):
    """A request is not signed as it should be; the message says in what way, for the log of who verifies."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed a request, and when. Keep the nonces of the last 2 * `tolerance_s` to refuse what is repeated."""

    key_id: str
    nonce: str
    created: int


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: bytes,
    key_id: str,
    created: int,
    nonce: str,
    covered: Sequence[str] = (),
) -> dict[str, str]:
    """The three headers that sign a request.

    Args:
        method: as it is sent.
        url: the whole address, as it is sent; a fragment is not part of it.
        headers: by lower-case name.
        body: b"" for none.
        key: shared with the other side; 32 bytes of chance are a good one.
        key_id: tells the other side which key.
        created: Unix seconds.
        nonce: never the same twice.
        covered: lower-case names of headers that are signed, too, where the request has them.
    """
    digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
    present = {**headers, "content-digest": digest}
    components = [*ALWAYS, *(name for name in covered if name in headers)]
    names = " ".join(f'"{name}"' for name in components)
    params = f'({names});created={created};nonce="{nonce}";keyid="{key_id}";alg="hmac-sha256"'
    signature = hmac.digest(key, _base(method, url, present, components, params), "sha256")
    return {
        "content-digest": digest,
        "signature-input": f"{LABEL}={params}",
        "signature": f"{LABEL}=:{b64encode(signature).decode()}:",
    }


def verify(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Mapping[str, bytes] | Callable[[str], bytes | None],
    now: float,
    tolerance_s: float = 300.0,
    covered: Sequence[str] = (),
) -> Verified:
    """Who signed a request that was received; takes the same time whatever the signature is.

    Whoever saw a request can send it again for as long as its age is tolerated. Where that matters, remember the
    nonces of valid requests (of each key) for twice `tolerance_s`, and refuse one that is known.

    Args:
        method: as it was received.
        url: with the host that the gateway was told (its Host header), path and query as they were received.
        headers: by lower-case name.
        body: the whole body, as it was received.
        keys: by key id. Two at once let a key be rotated.
        now: Unix seconds.
        tolerance_s: how old it may be, and how far ahead the other clock.
        covered: lower-case names of headers that have to be signed if the request has them.

    Raises:
        SignatureInvalid: it is not signed as it should be.
    """
    given = _INPUT.fullmatch(headers.get("signature-input", ""))
    signature = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if given is None or signature is None:
        raise SignatureInvalid("there is no signature of the form that is expected")
    components = [name.strip('"') for name in given["covered"].split(" ")]
    missing = [name for name in (*ALWAYS, *(n for n in covered if n in headers)) if name not in components]
    if missing:
        raise SignatureInvalid(f"not signed: {', '.join(missing)}")
    if len(set(components)) != len(components):
        raise SignatureInvalid("a component is signed twice")
    absent = [name for name in components if name not in ALWAYS and name not in headers]
    if absent:
        raise SignatureInvalid(f"signed, but not sent: {', '.join(absent)}")
    key = keys(given["key_id"]) if callable(keys) else keys.get(given["key_id"])
    if key is None:
        raise SignatureInvalid("the key is not known")
    present = {**headers, "content-digest": headers.get("content-digest", "")}
    expected = hmac.digest(key, _base(method, url, present, components, given["params"]), "sha256")
    if not hmac.compare_digest(expected, b64decode(signature["bytes"])):
        raise SignatureInvalid("the signature is another one")
    digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
    if not hmac.compare_digest(digest, present["content-digest"]):
        raise SignatureInvalid("the body is another one than was signed")
    created = int(given["created"])
    if abs(now - created) > tolerance_s:
        raise SignatureInvalid("it is too old, or one of the clocks is wrong")
    return Verified(given["key_id"], given["nonce"], created)


def _base(method: str, url: str, headers: Mapping[str, str], components: Sequence[str], params: str) -> bytes:
    """The signature base, RFC 9421 §2.5."""
    parts = urlsplit(url)
    port = parts.port
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    derived = {
        "@method": method,
        "@authority": host if port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f"{host}:{port}",
        "@path": parts.path or "/",
        "@query": f"?{parts.query}",
    }
    lines = [
        f'"{name}": {derived[name] if name in derived else " ".join(headers[name].split())}' for name in components
    ]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()
