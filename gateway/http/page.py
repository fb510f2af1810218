"""A page from files in this package: nothing comes from another host, and the page's policy says so."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script or style, no other host, no framing."""

_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Page:
    """The page, an ASGI application, and the routes of its assets.

    Reads its files when it is made and keeps them. Assets have a digest of all of them in their address, so they may be
    cached for ever.

    Args:
        folder: has `page.html`, where `{assets}` stands for the assets' address, and scripts and styles beside it.
        path: where the page is served; assets are below it. The page names them relative to itself, so a proxy may put
            a prefix before it.
        name: of the assets' route.
    """

    def __init__(self, folder: Path, path: str, name: str) -> None:
        self._assets = {f.name: f.read_bytes() for f in sorted(folder.iterdir()) if f.suffix in _TYPES}
        self._digest = _digest(self._assets)
        self._path = path.rstrip("/")
        self._name = name
        relative = f"{self._path.rpartition('/')[2]}/static/{self._digest}"
        self._page = (folder / "page.html").read_text("utf-8").replace("{assets}", relative).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page."""
        headers = {
            **_HEADERS,
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "cache-control": "no-cache",
            "vary": "accept",
        }
        await Response(self._page, media_type="text/html", headers=headers)(scope, receive, send)

    def routes(self) -> list[Route]:
        """The routes of the assets, to stand beside the page's own."""
        return [Route(f"{self._path}/static/{self._digest}/{{name}}", self._asset, name=self._name)]

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = self._assets.get(name)
        if content is None:
            return Response(status_code=404, headers=_HEADERS)
        etag = f'"{self._digest}"'
        headers = {**_HEADERS, "cache-control": "public, max-age=31536000, immutable", "etag": etag}
        if _matches(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "content-type": _TYPES[Path(name).suffix]})


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110 §13.1.2: any of a list, compared weakly, for a proxy that compresses weakens the tag."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
