"""Secrets of tools: each is sent to the hosts that the operator has bound it to, and to no other."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from trunkline_protocols.fleet import Tool

from trunkline_agents.core.tool_records import HIDDEN, mask
from trunkline_agents.ports import ToolError

_PORTS: Final = {"http": 80, "https": 443}


class ToolSecrets:
    """Adds a tool's secret to its requests."""

    def __init__(self, value: Callable[[str], str], hosts: Mapping[str, Sequence[str]]) -> None:
        """`value` returns a secret by name; `hosts` lists `host`, `host:port` or `http://host:port` per secret."""
        self._value = value
        self._hosts = hosts

    def headers(self, tool: Tool) -> dict[str, str]:
        """Return the header with the tool's secret, if it has one; raise `ToolError` if it must not be sent."""
        if not tool.secret:
            return {}
        target = urlsplit(tool.url)
        if not any(_permits(entry, target) for entry in self._hosts.get(tool.secret, ())):
            raise ToolError(f"the secret {tool.secret!r} is not bound to {target.scheme}://{target.netloc}")
        value = self._value(tool.secret)
        if not value:
            raise ToolError(f"the secret {tool.secret!r} is not set")
        return {"Authorization": f"Bearer {value}"}

    def mask(self, tool: Tool, text: str) -> str:
        """Return a tool's answer without its secret: neither a model nor a record gets it from an echo."""
        value = self._value(tool.secret) if tool.secret else ""
        return mask(text, {value: HIDDEN}) if value else text


def _permits(entry: str, target: SplitResult) -> bool:
    """Return whether an entry permits a target; without a scheme, http is for this machine alone."""
    scheme, separator, host = entry.rpartition("://")
    permitted = urlsplit(f"{scheme}://{host}" if separator else f"//{host}")
    if permitted.hostname != target.hostname or target.hostname is None:
        return False
    if permitted.port is not None and permitted.port != (target.port or _PORTS.get(target.scheme)):
        return False
    if permitted.scheme:
        return permitted.scheme == target.scheme
    return target.scheme == "https" or _is_loopback(target.hostname)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
