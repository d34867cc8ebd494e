"""Abilities of this machine's network."""

from __future__ import annotations

import socket

import pytest


def require_ipv6() -> None:
    """Skip the test without IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
