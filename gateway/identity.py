"""Who a request comes from: ids, tenant, user, and which of its headers may go on to upstreams."""

import os
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.types import Scope

from clients.call import Caller
from gateway.config import IdentityConfig

_CLEAN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def clean_id(value: str | None) -> str | None:
    """An id that a client sent, if it is fit for logs and headers."""
    return value if value is not None and _CLEAN_ID.fullmatch(value) else None


def request_id(headers: Mapping[str, str]) -> str:
    """The request's id: the client's `x-request-id` if it is clean, else a new one; `headers` by lower-case name."""
    return clean_id(headers.get("x-request-id")) or os.urandom(16).hex()


class Identifier:
    """Makes the Caller of a request. Tenant and user are taken from trusted proxies only."""

    def __init__(self, config: IdentityConfig, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._tenant_header = config.tenant_header.lower()
        self._user_header = config.user_header.lower()
        self._trusted = trusted

    def caller(self, scope: Scope, headers: Mapping[str, str], request_id: str, deadline: float) -> Caller:
        """The caller; `headers` by lower-case name."""
        tenant = user = None
        if self._trusts(scope):
            tenant = headers.get(self._tenant_header) or None
            user = headers.get(self._user_header) or None
        return Caller(
            request_id=request_id,
            correlation_id=clean_id(headers.get("x-correlation-id")) or request_id,
            tenant=tenant,
            user=user,
            authorization=headers.get("authorization"),
            deadline=deadline,
            headers=headers,
        )

    def _trusts(self, scope: Scope) -> bool:
        if not self._trusted or scope.get("client") is None:
            return False
        try:
            address = ip_address(scope["client"][0])
        except ValueError:  # a Unix socket has no address
            return False
        return any(address in network for network in self._trusted)
