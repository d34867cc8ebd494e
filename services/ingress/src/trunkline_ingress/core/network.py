"""Networks, the address of a client behind trusted proxies, and the host names that a browser may use."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final, TypeAlias
from urllib.parse import urlsplit

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse addresses and networks separated by commas; raise `ValueError` for anything else."""
    return tuple(ipaddress.ip_network(part, strict=False) for part in _parts(text))


def parse_hosts(text: str) -> frozenset[str]:
    """Parse host names separated by commas; raise `ValueError` for a name with a port, a scheme or a wildcard."""
    hosts = frozenset(part.lower().rstrip(".") for part in _parts(text))
    for host in hosts:
        if not all(label and label.replace("-", "").isalnum() for label in host.split(".")):
            raise ValueError(f"{host!r} is not a host name")
    return hosts


def contains(networks: Collection[Network], address: str) -> bool:
    """Return whether an address belongs to one of the networks."""
    parsed = _address(address) if networks else None
    return parsed is not None and any(parsed in network for network in networks)


def client_address(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str:
    """Return the address of the client: the peer's, or the last one before the trusted proxies.

    `forwarded_for` is the value of X-Forwarded-For, to which each proxy appends its peer; from an untrusted peer it is
    ignored, and an entry that is not an address ends the search. Some proxies append the port of their peer too.
    """
    address = peer
    hops = [_without_port(part.strip()) for part in forwarded_for.split(",")] if forwarded_for else []
    while hops and contains(trusted, address) and _address(hops[-1]) is not None:
        address = hops.pop()
    return _normalised(address)


def is_allowed_host(host: str, allowed: Collection[str]) -> bool:
    """Return whether a `Host` header names this server: a configured name, localhost, or any literal address.

    A page that rebinds its own name to this server sends that name. It cannot send an address: then its origin would
    be this server itself.
    """
    name = _host_name(host)
    if name is None:
        return False
    return name == "localhost" or name in allowed or _address(name) is not None


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether the `Origin` of a page and the `Host` of its request are one server; either may omit a port."""
    try:
        parts = urlsplit(origin)
        default_port = _DEFAULT_PORTS.get(parts.scheme)
        asked = urlsplit(f"//{host}")
        return bool(parts.hostname) and (parts.hostname, parts.port or default_port) == (
            asked.hostname,
            asked.port or default_port,
        )
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _host_name(host: str) -> str | None:
    """Return the name of a `Host` header without its port, None if it is malformed."""
    if host.startswith("["):
        name, closed, rest = host[1:].partition("]")
        return name if closed and _is_port(rest) else None
    name, colon, port = host.partition(":")
    return name.lower().rstrip(".") if name and _is_port(colon + port) else None


def _without_port(hop: str) -> str:
    """Return the address of an entry of X-Forwarded-For without its port: `1.2.3.4:5`, `[::1]`, `[::1]:5`."""
    if hop.startswith("[") or hop.count(":") == 1:
        return _host_name(hop) or hop
    return hop


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isdecimal() and text.isascii())


def _normalised(address: str) -> str:
    """Return the key of an address: an IPv6 client has a whole /64 to choose from."""
    parsed = _address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return address


def _address(text: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else parsed


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
