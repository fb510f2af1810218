"""Whose word is taken, and where a request really came from: by the network its connection comes from."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

_MAX_KNOWN = 4_096
_MAX_HOPS = 32  # more than any real chain has; what comes before them is not looked at

# RFC 7239 §4 and §6: for=192.0.2.1, for="192.0.2.1:80", for="[2001:db8::1]:80"
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"\\]*)"|([^\s;,"]*))', re.IGNORECASE)


class Proxies:
    """The proxies that are trusted.

    Args:
        networks: where they are.
        address_header: lower-case name of the header that they say in where a request came from.
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network], address_header: str) -> None:
        self._networks = networks
        self._address_header = address_header
        self._known: dict[str, bool] = {}

    def vouch_for(self, scope: Scope) -> bool:
        """Whether the request comes from a trusted proxy, so that its headers count."""
        client = scope.get("client")
        return client is not None and self.trusted(client[0])

    def trusted(self, host: str) -> bool:
        """Whether an address is a trusted proxy's."""
        found = self._known.get(host)
        if found is None:
            address = _address(host)  # none of a Unix socket's
            found = address is not None and any(address in network for network in self._networks)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[host] = found
        return found

    def client_address(self, scope: Scope, headers: Mapping[str, str]) -> str:
        """Where the request came from: the last hop that is no trusted proxy. Nothing before it can be believed."""
        client = scope.get("client")
        host = client[0] if client is not None else ""
        if not self._networks or not self.trusted(host):
            return str(host)
        listed = headers.get(self._address_header)
        if listed is None:
            return str(host)
        for hop in reversed(listed.rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]):
            address = _address(self._host(hop))
            if address is None:  # `unknown`, a made-up name: whoever wrote it is as far as this leads
                return str(host)
            host = str(address)
            if not self.trusted(host):
                return host
        return str(host)

    def _host(self, hop: str) -> str:
        """The host of one hop, without its port."""
        text = hop.strip()
        if self._address_header == "forwarded":
            found = _FOR.search(text)
            text = "" if found is None else found[1] or found[2] or ""
        if text.startswith("["):
            return text[1:].partition("]")[0]
        return text.partition(":")[0] if text.count(":") == 1 else text


def counted_as(address: str) -> str:
    """What of an address is one caller: of IPv6 the network (/64), since a household or a host has all of it."""
    if ":" not in address:
        return address
    found = _address(address)
    return address if found is None or found.version == 4 else str(IPv6Network((int(found) >> 64 << 64, 64)))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None  # ::ffff:192.0.2.1, of a dual-stack socket
    return mapped or found
