"""Limits of a machine that opens many sockets: local ports and open files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from math import ceil
from typing import Final

_SPARE_FILES: Final = 256
"""Open files of a process in addition to its sockets."""
_USABLE_PORTS: Final = 0.8
"""Share of the local ports: other programs use some, and closed connections keep theirs for a minute."""
_FIRST_LOOPBACK: Final = IPv4Address("127.0.0.2")
_MAX_LOOPBACKS: Final = 200


class LimitError(ValueError):
    """The machine cannot open this many sockets; the message says how it could."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits of this machine."""

    local_ports: int
    """Number of ports that a client may get, per source address."""
    open_files: int | None
    """Hard limit of open files per process; None if unlimited."""
    has_loopback_network: bool
    """Whether every address of 127.0.0.0/8 is local."""


def files_for(sockets: int) -> int:
    """Return the number of open files that a process with this many sockets needs."""
    return sockets + _SPARE_FILES


def check_files(conversations: int, processes: int, machine: Machine) -> None:
    """Raise `LimitError` if a process may not open its share of the conversations."""
    needed = files_for(ceil(conversations / processes))
    if machine.open_files is None or needed <= machine.open_files:
        return
    sockets = machine.open_files - _SPARE_FILES
    advice = f"use --processes {ceil(conversations / sockets)}" if sockets > 0 else "raise the limit"
    raise LimitError(
        f"{ceil(conversations / processes)} conversations in a process need {needed} open files, "
        f"its hard limit is {machine.open_files}: {advice}"
    )


def source_addresses(
    conversations: int, *, hosts: Sequence[str], given: Sequence[str], machine: Machine
) -> tuple[str, ...]:
    """Return the local addresses to connect from; empty if the operating system may choose.

    Each address has local ports for a limited number of sockets. For servers on the loopback further addresses of
    127.0.0.0/8 are taken; for others they must be given.

    Raises:
        LimitError: if there are too few addresses.

    """
    per_address = int(machine.local_ports * _USABLE_PORTS)
    if given:
        if conversations > per_address * len(given):
            raise LimitError(_too_few(conversations, per_address, len(given)))
        return tuple(given)
    if conversations <= per_address * max(1, len(set(hosts))):
        return ()
    needed = ceil(conversations / per_address)
    if not all(_is_loopback(host) for host in hosts) or not machine.has_loopback_network or needed > _MAX_LOOPBACKS:
        raise LimitError(_too_few(conversations, per_address, 1))
    return tuple(str(_FIRST_LOOPBACK + number) for number in range(needed))


def _is_loopback(host: str) -> bool:
    """Return whether a host, with its port or without, is reached over 127.0.0.0/8."""
    name = host.partition(":")[0]
    try:
        return IPv4Address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _too_few(conversations: int, per_address: int, addresses: int) -> str:
    return (
        f"{conversations} conversations need {ceil(conversations / max(1, per_address))} source addresses, each has "
        f"local ports for {per_address}: {addresses} available; give --source for each, or start from more machines"
    )
