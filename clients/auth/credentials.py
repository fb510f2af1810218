"""Credentials that are known beforehand: API keys, bearer tokens, user and password."""

from abc import abstractmethod
from base64 import b64encode
from urllib.parse import quote

from clients.auth.authorizer import Authorizer, WireRequest
from clients.auth.secret import Secret
from clients.transports.base import WireResponse


class _Header(Authorizer):
    """One header, made of a secret; made anew when that was rotated, and tried again when a 401 tells first."""

    def __init__(self, name: str, secret: Secret) -> None:
        self._name = name
        self._secret = secret

    async def authorize(self, request: WireRequest) -> WireRequest:
        """With the header."""
        return request.with_headers({self._name: self._value(self._secret.reveal())})

    async def refused(self, request: WireRequest, response: WireResponse) -> WireRequest | None:  # noqa: ARG002
        """With a newer secret, if the file has one by now."""
        self._secret.reread()
        again = await self.authorize(request)
        return None if again.headers[self._name] == request.headers[self._name] else again

    def trouble(self) -> str:
        """Of the secret."""
        return self._secret.trouble

    @abstractmethod
    def _value(self, secret: str) -> str: ...


class ApiKeyHeader(_Header):
    """The key as the value of a header; `name` in lower case."""

    def _value(self, secret: str) -> str:
        return secret


class Bearer(_Header):
    """RFC 6750 §2.1: `Authorization: Bearer <token>`."""

    def __init__(self, token: Secret) -> None:
        super().__init__("authorization", token)

    def _value(self, secret: str) -> str:
        return f"Bearer {secret}"


class Basic(_Header):
    """RFC 7617: `Authorization: Basic <user:password>`, in UTF-8; `user` has no colon."""

    def __init__(self, user: str, password: Secret) -> None:
        super().__init__("authorization", password)
        self._user = user

    def _value(self, secret: str) -> str:
        return basic(self._user, secret)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


class ApiKeyQuery(Authorizer):
    """The key as a parameter of the query. Servers and proxies write addresses into their logs: prefer a header."""

    def __init__(self, name: str, secret: Secret) -> None:
        self._name = quote(name, safe="")
        self._secret = secret

    async def authorize(self, request: WireRequest) -> WireRequest:
        """With the parameter."""
        return self._with(request, request.url)

    async def refused(self, request: WireRequest, response: WireResponse) -> WireRequest | None:  # noqa: ARG002
        """With a newer key, if the file has one by now."""
        self._secret.reread()
        again = self._with(request, request.url.rpartition(f"{self._name}=")[0][:-1])
        return None if again.url == request.url else again

    def trouble(self) -> str:
        """Of the secret."""
        return self._secret.trouble

    def _with(self, request: WireRequest, url: str) -> WireRequest:
        joint = "&" if "?" in url else "?"
        url = f"{url}{joint}{self._name}={quote(self._secret.reveal(), safe='')}"
        return WireRequest(request.method, url, request.headers, request.body)
