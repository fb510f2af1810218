"""An issuer's public keys (RFC 7517): fetched, kept fresh in the background, and kept when the issuer is down.

One request fetches them, however many tokens wait. A token with an unknown key makes it come sooner, but tokens that
name made-up keys cannot make it come often.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import jwt
import msgspec

from clients.auth.secret import Tell
from clients.clock import Clock
from clients.transports.base import Wire, WireError

_MAX_BYTES = 262_144
_MAX_KEYS = 100
_PUBLIC = frozenset({"kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y"})  # a private part is not kept
_FITS = {  # RFC 7518 §3.1, RFC 8037: kty and crv that an algorithm takes
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 30.0

Read = Callable[[], Awaitable[bytes]]
"""Gets the text of a JWK Set; raises OSError, ValueError, WireError or TimeoutError."""


class BadKeys(ValueError):
    """What is no JWK Set, or has no key in it that could be used; the message is for operators."""


class Keys:
    """The keys of one set that can check signatures, each bound to its algorithm."""

    def __init__(self, by_id: dict[tuple[str | None, str], jwt.PyJWK], text: bytes) -> None:
        self._by_id = by_id
        self.text = text

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id for that algorithm. A token without an id gets the one there is, if there is just one."""
        if kid is not None:
            return self._by_id.get((kid, algorithm))
        fitting = [key for (_, name), key in self._by_id.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def parse_keys(text: bytes, algorithms: Sequence[str]) -> Keys:
    """The keys of a JWK Set, for these algorithms; those for something else, or too short, are left out.

    Raises:
        BadKeys: there is none.
    """
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        said = None
    listed = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise BadKeys("is no JWK Set (a JSON object with a list `keys`)")
    if len(listed) > _MAX_KEYS:
        raise BadKeys(f"has more than {_MAX_KEYS} keys")
    found: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for entry in listed:
        if isinstance(entry, dict):
            for algorithm in algorithms:
                key = _key(entry, algorithm)
                if key is not None:
                    kid = entry.get("kid")
                    found[(kid if isinstance(kid, str) else None, algorithm)] = key
    if not found:
        raise BadKeys(f"has no public key for {', '.join(algorithms)}")
    return Keys(found, text)


def _key(entry: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    kty, crv = _FITS[algorithm]
    operations = entry.get("key_ops")
    if (
        entry.get("kty") != kty
        or (crv is not None and entry.get("crv") != crv)
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", algorithm) != algorithm
        or (operations is not None and (not isinstance(operations, list) or "verify" not in operations))
    ):
        return None
    try:
        key = jwt.PyJWK({name: value for name, value in entry.items() if name in _PUBLIC}, algorithm)
        too_short = key.Algorithm.check_key_length(key.key)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None if too_short else key


class KeySet:
    """The keys of an issuer as they are now. An async context manager, which keeps them fresh.

    Args:
        issuer: its name, for messages.
        read: gets the text of its JWK Set.
        algorithms: that its tokens may be signed with.
        clock: all time comes from it.
        random: all jitter comes from it.
        tell: gets what operators should know.
        on_change: called when there are other keys than before.
        refresh_s: how often they are fetched.
        refetch_s: how often an unknown key may have them fetched.
        timeout_s: of one fetch.
    """

    def __init__(
        self,
        issuer: str,
        read: Read,
        algorithms: Sequence[str],
        *,
        clock: Clock,
        random: Random,
        tell: Tell,
        on_change: Callable[[], None],
        refresh_s: float,
        refetch_s: float,
        timeout_s: float,
    ) -> None:
        self._issuer = issuer
        self._read = read
        self._algorithms = algorithms
        self._clock = clock
        self._random = random
        self._tell = tell
        self._on_change = on_change
        self._refresh_s = refresh_s
        self._refetch_s = refetch_s
        self._timeout_s = timeout_s
        self._keys: Keys | None = None
        self._flight: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._refetched_at: float | None = None
        self._failures = 0
        self._closed = False
        self.trouble = ""
        """Why the keys could not be fetched when that was last tried; empty when they could."""

    async def __aenter__(self) -> Self:
        self._begin()
        self._keeping = asyncio.create_task(self._keep(), name="breakwater keys")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        running = {task for task in (self._keeping, self._flight) if task is not None}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    @property
    def loaded(self) -> bool:
        """Whether there are any keys; those of before stay when the issuer is down."""
        return self._keys is not None

    @property
    def retry_after_s(self) -> float:
        """How long to wait before keys may be there again."""
        return min(_MAX_BACKOFF_S, self._refresh_s, _BACKOFF_S * 2.0 ** min(self._failures, 5))

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id, as far as it is known."""
        return None if self._keys is None else self._keys.find(kid, algorithm)

    @property
    def may_refetch(self) -> bool:
        """Whether waiting for `refetched` can make a key known."""
        if self._closed:
            return False
        if self._flight is not None or self._refetched_at is None:
            return True
        return self._clock.now() >= self._refetched_at + self._refetch_s

    async def refetched(self) -> None:
        """Fetch now, or wait for what is being fetched; at most the timeout of one fetch."""
        if self._flight is None:
            self._refetched_at = self._clock.now()
            self._begin()
        await self.fetched()

    async def fetched(self) -> None:
        """Wait for what is being fetched, if anything is."""
        if self._flight is not None:
            await asyncio.wait({self._flight})  # unlike awaiting it, cancelling this leaves it to the others

    def _begin(self) -> None:
        self._flight = asyncio.create_task(self._fetch(), name="breakwater keys fetch")

    async def _keep(self) -> None:
        while True:
            await self.fetched()
            if self.trouble:
                delay_s = self.retry_after_s * self._random.uniform(0.5, 1.0)
            else:
                delay_s = self._refresh_s * self._random.uniform(0.9, 1.0)  # many gateways do not ask at once
            await self._clock.sleep(delay_s)
            if self._flight is None:
                self._begin()

    async def _fetch(self) -> None:
        """Fetch once and take note of what came; raises nothing but when it is cancelled."""
        try:
            try:
                async with self._clock.timeout(self._timeout_s):
                    text = await self._read()
                keys = (
                    None if self._keys is not None and text == self._keys.text else parse_keys(text, self._algorithms)
                )
            except TimeoutError:
                self._failed(f"no answer within {self._timeout_s:g} s")
                return
            except (OSError, ValueError, WireError) as error:
                self._failed(getattr(error, "strerror", None) or str(error))
                return
        finally:
            self._flight = None
        self._failures = 0
        self.trouble = ""
        if keys is not None:
            self._keys = keys
            self._on_change()

    def _failed(self, reason: str) -> None:
        self._failures += 1
        kept = "those of before stay in use" if self.loaded else "tokens are refused until there are some"
        trouble = f"its keys cannot be fetched: {reason}; {kept}"
        if trouble != self.trouble:
            self._tell(f"{self._issuer}: {trouble}")
        self.trouble = trouble


def read_file(path: Path) -> bytes:
    """The text of a JWK Set's file.

    Raises:
        OSError: it cannot be read.
        BadKeys: it is too large to be one.
    """
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise BadKeys(f"is larger than {_MAX_BYTES} bytes; is it the right file?")
    return text


def from_file(path: Path) -> Read:
    """Reads keys from a file, which may be replaced while the process runs."""

    async def read() -> bytes:
        return read_file(path)

    return read


def over_http(wire: Wire, url: str) -> Read:
    """Reads keys from an address."""
    host = urlsplit(url).hostname

    async def read() -> bytes:
        response = await wire.send("GET", url, {"accept": "application/json"}, None, max_body_bytes=_MAX_BYTES)
        if response.status != 200:
            raise BadKeys(f"{host} answered {response.status}")
        return response.body

    return read
