"""Removal of a stream without replicas whose node is gone, so that it can be created on another node.

A stream that does not answer is not lost yet: its node may be short of CPU, and its messages would be lost for nothing.
It is lost if the cluster reports its node as offline, or if it does not answer while the leader of a replicated stream
does and misses a node. One process at a time removes: it holds a claim that expires, and looks again under it, so that
no process removes the stream that another one has just created.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from trunkline_protocols import streams

from trunkline_chassis.bus import STREAM_NOT_FOUND
from trunkline_chassis.cancellation import cancel_and_wait
from trunkline_chassis.errors import BusError, BusRefusedError, BusUnavailableError, FenceError
from trunkline_chassis.silent_nodes import silent_nodes

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_STREAM_OFFLINE: Final = 10118
"""Reported by the leader of the cluster if it knows that all nodes of a stream have ended."""
_WITNESSES: Final = tuple(stream.name for stream in streams.STREAMS if stream.replicated)
"""Replicated streams whose leaders are asked for silent nodes: many, since those that the node led are electing, and a
new leader knows nothing yet."""
_INFO_TIMEOUT_S: Final = 1.0
_FIRST_LOOK_S: Final = 0.3
"""Only the look under the claim decides."""
_DELETE_TIMEOUT_S: Final = 0.5
_MAX_LOOKS: Final = 8
"""In one run; each takes up to two seconds if neither the stream nor a witness answers."""
_UNANSWERED_TIMEOUT_S: Final = 60.0
"""A stream that no look reaches for so long is useless, whatever the cause; for nodes that no witness knows."""
_CLAIM_USE_S: Final = streams.CLAIMS.ttl_s / 2
"""A delete is not sent later than this after the claim: another process may hold the next one."""

Look = Literal["answers", "silent", "lost"]


class LostStreams:
    """Removes streams whose node is gone, on behalf of one process."""

    def __init__(self, bus: Bus, *, claimant: str) -> None:
        """`claimant`: name of the process in the claim, for operators."""
        self._bus = bus
        self._claimant = claimant
        self._unanswered_since: dict[str, float] = {}
        self._nodes: dict[str, str] = {}
        """Node of each stream when it answered last."""

    async def remove(self, name: str) -> bool:
        """Remove a stream if its node is gone; return whether this process has removed it."""
        if not await self._is_lost(name):
            return False
        clock = asyncio.get_running_loop().time
        claimed_at = clock()
        if not await self._claim(name):
            return False
        if await self._look(name) != "lost" or clock() - claimed_at > _CLAIM_USE_S:
            return False
        _log.warning("topology.stream_lost", stream=name)
        # The node that would reply is gone; the leader of the cluster removes the stream all the same.
        with contextlib.suppress(BusUnavailableError):
            await self._bus.api(f"STREAM.DELETE.{name}", timeout_s=_DELETE_TIMEOUT_S)
        return await self._is_removed(name)

    async def _is_lost(self, name: str) -> bool:
        for _ in range(_MAX_LOOKS):
            look = await self._look(name, timeout_s=_FIRST_LOOK_S)
            if look != "silent":
                return look == "lost"
            await asyncio.sleep(_FIRST_LOOK_S)
        return False

    async def _look(self, name: str, *, timeout_s: float = _INFO_TIMEOUT_S) -> Look:
        now = asyncio.get_running_loop().time()
        try:
            info = await self._bus.api(f"STREAM.INFO.{name}", timeout_s=timeout_s)
        except BusUnavailableError:
            pass
        except BusRefusedError as error:
            return "lost" if error.code == _STREAM_OFFLINE else "answers"
        else:
            self._unanswered_since.pop(name, None)
            self._nodes[name] = (info.get("cluster") or {}).get("leader", "")
            return "answers"
        unanswered_s = now - self._unanswered_since.setdefault(name, now)
        is_useless = unanswered_s >= _UNANSWERED_TIMEOUT_S
        return "lost" if await self._is_witnessed(self._nodes.get(name, ""), is_useless=is_useless) else "silent"

    async def _is_witnessed(self, node: str, *, is_useless: bool) -> bool:
        """Return whether a leader misses the node of the stream; of a useless stream, whether any leader replies.

        Any silent node counts if that of the stream is not known.
        """
        asked = [asyncio.ensure_future(self._info(witness)) for witness in _WITNESSES]
        try:
            for earliest in asyncio.as_completed(asked):
                info = await earliest
                silent = silent_nodes(info)
                is_lost = node in silent if node else bool(silent)
                if is_lost or (is_useless and (info.get("cluster") or {}).get("replicas")):
                    return True
        finally:
            await cancel_and_wait(asked)
        return False

    async def _info(self, name: str) -> dict[str, Any]:
        """Return the description of a stream, empty without a reply."""
        try:
            return await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_INFO_TIMEOUT_S)
        except BusError:
            return {}

    async def _claim(self, name: str) -> bool:
        """Return whether this process may remove the stream; the claim is not released but expires."""
        subject = f"$KV.{streams.CLAIMS.name}.{name}"
        message_id = f"{self._claimant}-{secrets.token_hex(8)}"
        try:
            await self._bus.append(subject, self._claimant.encode(), message_id=message_id, fence=(subject, 0))
        except FenceError:
            return False
        return True

    async def _is_removed(self, name: str) -> bool:
        """Return whether the lost stream is gone: it does not exist, or another process has created it again."""
        try:
            await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_INFO_TIMEOUT_S)
        except BusUnavailableError:
            return False
        except BusRefusedError as error:
            return error.code == STREAM_NOT_FOUND
        return True
