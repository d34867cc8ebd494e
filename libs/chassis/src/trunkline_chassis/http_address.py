"""Addresses of HTTP servers as URLs, in which an IPv6 address stands in brackets."""

from __future__ import annotations

import ipaddress


def http_url(host: str, port: int) -> str:
    """Return the URL under which this machine reaches a server that listens on `host`.

    A server on all addresses, `0.0.0.0` or `::`, is reached on loopback: a wildcard is no destination.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.version == 4:  # noqa: PLR2004 - the version of IP
        return f"http://{'127.0.0.1' if address.is_unspecified else address}:{port}"
    # A zone such as `%eth0` is escaped (RFC 6874).
    return f"http://[{'::1' if address.is_unspecified else str(address).replace('%', '%25')}]:{port}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
