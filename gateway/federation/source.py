"""Where a supergraph comes from: a file, an address, the subgraphs' own SDLs, or one of these with the local schema."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import strawberry

from gateway.config import Config, is_url
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
    """A supergraph file; read again when its size or time has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return None
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror}") from error
        sdl = _text(self._path)
        self._seen = seen
        return fetched(sdl, str(self._path))


class UrlSource:
    """A supergraph at an address, asked for with the ETag of the last one (RFC 9110 §13.1.2)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._etag: str | None = None

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        headers = {"if-none-match": self._etag} if self._etag else {}
        response = await _request("GET", self._url, headers=headers)
        if response.status_code == 304:
            return None
        if response.status_code != 200:
            raise SourceError(f"{self._url}: answered {response.status_code}, expected 200")
        self._etag = response.headers.get("etag")
        return fetched(response.text, self._url)


class SubgraphsSource:
    """The subgraphs of gateway.yaml, their SDLs from files or asked of the services (`_service { sdl }`)."""

    def __init__(self, config: Config) -> None:
        self._config = config

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        return composed(await self.subgraphs(), "the subgraphs of gateway.yaml")

    async def subgraphs(self) -> list[Subgraph]:
        """Each subgraph with its SDL.

        Raises:
            SourceError: one cannot be had; the message names it.
        """
        found = []
        for name, service in self._config.services.items():
            if service.subgraph is None:
                continue
            url = service.graphql or ""
            if service.subgraph.sdl is not None:
                sdl = _text(Path(service.subgraph.sdl))
            else:
                sdl = await asked(name, url, dict(service.headers))
            found.append(Subgraph(name, url, sdl))
        return found


class WithLocal:
    """Another source's supergraph, composed with the local schema as one more subgraph."""

    def __init__(self, source: Source, local: Subgraph) -> None:
        self._source = source
        self._local = local

    async def fetch(self) -> Fetched | None:
        """See `Source`."""
        if isinstance(self._source, SubgraphsSource):
            return composed([*await self._source.subgraphs(), self._local], "the subgraphs of gateway.yaml")
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


async def asked(name: str, url: str, headers: dict[str, str]) -> str:
    """A subgraph's SDL, from the subgraph itself.

    Raises:
        SourceError: it does not give one.
    """
    response = await _request("POST", url, json={"query": _SERVICE_QUERY}, headers=headers)
    try:
        sdl = response.json()["data"]["_service"]["sdl"]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{name}: {url} answered {response.status_code} without an SDL; is it a federation subgraph?"
        raise SourceError(message) from error
    if not isinstance(sdl, str):
        raise SourceError(f"{name}: {url}: _service.sdl is not text")
    return sdl


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not UTF-8 text") from error


async def _request(method: str, url: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
        try:
            response = await client.request(method, url, **options)
        except httpx.HTTPError as error:
            raise SourceError(f"{url}: {str(error) or type(error).__name__}") from error
    if len(response.content) > _MAX_BYTES:
        raise SourceError(f"{url}: answered more than {_MAX_BYTES} bytes")
    return response


def find_source(config: Config, schema: strawberry.Schema) -> Source:
    """The source that a configuration asks for, with the schema of this process where it is to be a subgraph."""
    federation = config.federation
    if federation is None:
        raise TypeError("the configuration has no section federation")
    source: Source
    if federation.supergraph is None:
        source = SubgraphsSource(config)
    elif is_url(federation.supergraph):
        source = UrlSource(federation.supergraph)
    else:
        source = FileSource(Path(federation.supergraph))
    if federation.local is None:
        return source
    return WithLocal(source, Subgraph(federation.local, "", schema.as_str()))
