"""Where a supergraph comes from: a file, an address, the subgraphs' own SDLs, or one of these with the local schema."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import strawberry

from clients.transports.as_httpx import WireTransport
from clients.transports.base import Wire
from gateway.config import Config, ServiceConfig, is_url
from gateway.federation.composition import Subgraph, compose, extract_subgraphs
from gateway.federation.errors import SupergraphError

_FETCH_TIMEOUT_S = 10.0
_SERVICE_QUERY = "{ _service { sdl } }"
_MAX_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Fetched:
    """A supergraph as it was found.

    Attributes:
        sdl: its text.
        digest: of the text; equal digests are equal supergraphs.
        origin: where it was found, for people.
    """

    sdl: str
    digest: str
    origin: str


class Source(Protocol):
    """Finds the supergraph; asked again and again."""

    async def fetch(self) -> Fetched | None:
        """The supergraph as it is now; None when it is known to be the same as last time.

        Raises:
            SourceError: it cannot be had just now.
            SupergraphError: what is there cannot be composed.
        """
        ...


class SourceError(Exception):
    """The supergraph, or a part of it, cannot be had just now. Says from where, and why."""


def fetched(sdl: str, origin: str) -> Fetched:
    """A supergraph with its digest."""
    return Fetched(sdl, hashlib.sha256(sdl.encode()).hexdigest()[:16], origin)


class FileSource:
    """A supergraph file; read again when it is another one, or its size or time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)  # renaming keeps the time
            if seen == self._seen:
                return None
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror}") from error
        sdl = _text(self._path)
        self._seen = seen
        return fetched(sdl, str(self._path))


class UrlSource:
    """A supergraph at an address, asked for with the ETag of the last one (RFC 9110 §13.1.2)."""

    def __init__(self, url: str, *, timeout_s: float = _FETCH_TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._etag: str | None = None

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        headers = {"if-none-match": self._etag} if self._etag else {}
        response = await _request("GET", self._url, self._timeout_s, headers=headers)
        if response.status == 304 and self._etag:
            return None
        if response.status != 200:
            raise SourceError(f"{self._url}: answered {response.status}, expected 200")
        try:
            sdl = response.body.decode()
        except UnicodeDecodeError as error:
            raise SourceError(f"{self._url}: is not UTF-8 text") from error
        self._etag = response.etag
        return fetched(sdl, self._url)


Lend = Callable[[str], AbstractAsyncContextManager[Wire | None]]
"""Lends the wire that carries a service's certificates and credentials; None for a service that has neither."""


class SubgraphsSource:
    """The subgraphs of gateway.yaml, their SDLs from files or asked of the services (`_service { sdl }`).

    Args:
        config: names them.
        local: the schema of this process, where it is one of them.
        lend: lends their wires.
    """

    def __init__(self, config: Config, local: Subgraph | None, lend: Lend) -> None:
        self._lend = lend
        self._services = {name: s for name, s in config.services.items() if s.subgraph is not None}
        self._local = local
        self._seen: list[Subgraph] | None = None

    async def fetch(self) -> Fetched | None:
        """See `Source`. They are composed again only when one of them has changed."""
        found = await self._subgraphs()
        if found == self._seen:
            return None
        self._seen = found
        return composed(found, "the subgraphs of gateway.yaml")

    async def _subgraphs(self) -> list[Subgraph]:
        """Each subgraph with its SDL, asked for side by side.

        Raises:
            SourceError: naming all that cannot be had.
        """
        asking = (self._subgraph(name, service) for name, service in self._services.items())
        found = await asyncio.gather(*asking, return_exceptions=True)
        unexpected = [each for each in found if isinstance(each, BaseException) and not isinstance(each, SourceError)]
        if unexpected:
            raise unexpected[0]
        failed = [str(each) for each in found if isinstance(each, SourceError)]
        if failed:
            raise SourceError("\n".join(failed))
        subgraphs = [each for each in found if isinstance(each, Subgraph)]
        return subgraphs if self._local is None else [*subgraphs, self._local]

    async def _subgraph(self, name: str, service: ServiceConfig) -> Subgraph:
        url = service.graphql or ""
        file = service.subgraph.sdl if service.subgraph is not None else None
        try:
            if file is not None:
                sdl = _text(Path(file))
            else:
                async with self._lend(name) as wire:
                    sdl = await asked(url, dict(service.headers), wire)
        except SourceError as error:
            raise SourceError(f"{name}: {error}") from error
        return Subgraph(name, url, sdl)


class WithLocal:
    """A finished supergraph, composed with the local schema as one more subgraph."""

    def __init__(self, source: Source, local: Subgraph) -> None:
        self._source = source
        self._local = local

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        found = await self._source.fetch()
        if found is None:
            return None
        return composed([*extract_subgraphs(found.sdl), self._local], found.origin)


def composed(subgraphs: Sequence[Subgraph], origin: str) -> Fetched:
    """Compose subgraphs.

    Raises:
        SupergraphError: with every reason against it.
    """
    result = compose(subgraphs)
    if result.supergraph_sdl is None:
        reasons = "\n".join(f"  {error}" for error in result.errors)
        raise SupergraphError(f"the subgraphs do not compose:\n{reasons}")
    return fetched(result.supergraph_sdl, origin)


async def asked(url: str, headers: dict[str, str], wire: Wire | None = None) -> str:
    """A subgraph's SDL, from the subgraph itself, over `wire` where given.

    Raises:
        SourceError: it does not give one.
    """
    response = await _request("POST", url, _FETCH_TIMEOUT_S, json={"query": _SERVICE_QUERY}, headers=headers, wire=wire)
    try:
        sdl = json.loads(response.body)["data"]["_service"]["sdl"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{url} answered {response.status} without an SDL; is it a federation subgraph?"
        raise SourceError(message) from error
    if not isinstance(sdl, str):
        raise SourceError(f"{url}: _service.sdl is not text")
    return sdl


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text") from error


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    etag: str | None
    body: bytes


async def _request(method: str, url: str, timeout_s: float, *, wire: Wire | None = None, **options: Any) -> _Response:
    """The whole response, read no further than a supergraph can be long and no longer than `timeout_s`."""
    body = bytearray()
    transport = None if wire is None else WireTransport(wire, max_body_bytes=_MAX_BYTES)
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(
                timeout=timeout_s, trust_env=False, follow_redirects=False, transport=transport
            ) as client,
            client.stream(method, url, **options) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise SourceError(f"{url}: answered more than {_MAX_BYTES} bytes")
    except (TimeoutError, httpx.TimeoutException) as error:
        raise SourceError(f"{url}: no whole answer within {timeout_s:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: {str(error) or type(error).__name__}") from error
    return _Response(response.status_code, response.headers.get("etag"), bytes(body))


def find_source(config: Config, schema: strawberry.Schema, lend: Lend) -> Source:
    """The source that a configuration asks for, with the schema of this process where it is to be a subgraph."""
    federation = config.federation
    if federation is None:
        raise TypeError("the configuration has no section federation")
    local = None if federation.local is None else Subgraph(federation.local, "", schema.as_str())
    if federation.supergraph is None:
        return SubgraphsSource(config, local, lend)
    source = (
        UrlSource(federation.supergraph) if is_url(federation.supergraph) else FileSource(Path(federation.supergraph))
    )
    return source if local is None else WithLocal(source, local)
