"""Identity of a node: the name that its processes carry where several nodes use one NATS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MAX_HOST: Final = 20
_NO_TOKEN: Final = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine, or one of several suites on a machine."""

    name: str
    is_alone: bool = True
    """The NATS servers belong to this suite, so no other node has processes on them."""

    def instance(self, name: str) -> str:
        """Return the instance name of a process, unique on its NATS, from its name on this node."""
        return name if self.is_alone else f"{name}-{self.name}"


LOCAL: Final = Node("local")
"""The only node, without a name that matters."""


def node_of(configured: str | None, host: str, folder_id: str, *, is_alone: bool) -> Node:
    """Return the node of a suite.

    Without a configured name, nodes that share NATS are named after the host and the first four characters of the data
    folder's `folder_id`: two suites of one host must not take each other's processes for their own.
    """
    if configured is not None:
        return Node(configured, is_alone)
    name = _NO_TOKEN.sub("-", host.partition(".")[0])[:_MAX_HOST] or "node"
    return Node(name if is_alone else f"{name}-{folder_id[:4]}", is_alone)
