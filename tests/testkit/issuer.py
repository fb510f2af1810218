"""An issuer of tokens on a real socket: it publishes its keys, rotates them, and misbehaves on command."""

import asyncio
import functools
import json
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from clients.clock import Clock
from tests.testkit.serve import TestServer

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for the whole run: making it takes long."""
    return rsa.generate_private_key(65537, bits)


def public_jwk(key: PrivateKey, **members: Any) -> dict[str, Any]:
    """The public half as a member of a JWK Set; members of None are left out."""
    made: Any
    if isinstance(key, rsa.RSAPrivateKey):
        made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        made = jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in {**made, **members}.items() if value is not None}


class Issuer:
    """Signs tokens with its newest key; enter it to serve `jwks_url`.

    Attributes:
        name: the `iss` of its tokens.
        keys: the private ones, by key id; those are published.
        fetches: how often keys were asked for.
        answer: given instead of the keys; None gives the keys.
        gate: answers wait for it; set to begin with.
    """

    def __init__(self, clock: Clock, name: str = "https://login.example.org/", audience: str = "breakwater") -> None:
        self.name = name
        self.audience = audience
        self.keys: dict[str, PrivateKey] = {}
        self.fetches = 0
        self.answer: Response | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.server = TestServer(self._app)
        self._clock = clock
        self.rotate()

    @property
    def jwks_url(self) -> str:
        """Where its keys are."""
        return f"{self.server.url}/jwks"

    def rotate(self, *, keep: bool = True) -> str:
        """Sign with a new key from now on; its id. The older ones are published still, or not any more."""
        if not keep:
            self.keys.clear()
        self.kid = f"key-{len(self.keys)}-{id(object())}"
        self.keys[self.kid] = ec.generate_private_key(ec.SECP256R1())
        return self.kid

    def jwks(self) -> dict[str, Any]:
        """Its keys, as it publishes them."""
        return {"keys": [public_jwk(key, kid=kid, use="sig", alg="ES256") for kid, key in self.keys.items()]}

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good token of the user ada, with others beside or in place of them; None leaves one out."""
        now = int(self._clock.wall().timestamp())
        made = {"iss": self.name, "aud": self.audience, "sub": "ada", "iat": now, "nbf": now, "exp": now + 3600, **more}
        return {name: value for name, value in made.items() if value is not None}

    def token(self, **more: Any) -> str:
        """A good token, but for what is given."""
        return jwt.encode(self.claims(**more), self.keys[self.kid], "ES256", headers={"kid": self.kid})

    def bearer(self, **more: Any) -> dict[str, str]:
        """The header that carries such a token."""
        return {"authorization": f"Bearer {self.token(**more)}"}

    def config(self, **more: Any) -> dict[str, Any]:
        """Its entry in `identity.jwt.issuers`."""
        return {"issuer": self.name, "jwks": self.jwks_url, "audiences": [self.audience], **more}

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.fetches += 1
        await self.gate.wait()
        await (self.answer or JSONResponse(self.jwks()))(scope, receive, send)


def raw_token(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    """A token of any header and any signature."""
    encode = jwt.utils.base64url_encode
    parts = (json.dumps(header).encode(), claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    return ".".join(encode(part).decode() for part in (*parts, signature))
