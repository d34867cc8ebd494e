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
from trunkline_chassis.errors import BusError, BusRefusedError, BusUnavailableError, FenceError
from trunkline_chassis.silent_nodes import silent_nodes

if TYPE_CHECKING:
    from trunkline_chassis.bus import Bus

_log: Final = structlog.get_logger(__name__)
_STREAM_OFFLINE: Final = 10118
"""Reported by the leader of the cluster if it knows that all nodes of a stream have ended."""
_WITNESSES: Final = (streams.INBOX.name, streams.CONVERSATIONS.name)
"""Replicated streams whose leaders are asked for silent nodes: two, since one may be electing."""
_INFO_TIMEOUT_S: Final = 1.0
_DELETE_TIMEOUT_S: Final = 0.5
_MAX_LOOKS: Final = 8
"""In one run; each takes a second if the stream does not answer."""
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
            look = await self._look(name)
            if look != "silent":
                return look == "lost"
        return False

    async def _look(self, name: str) -> Look:
        now = asyncio.get_running_loop().time()
        try:
            await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_INFO_TIMEOUT_S)
        except BusUnavailableError:
            pass
        except BusRefusedError as error:
            return "lost" if error.code == _STREAM_OFFLINE else "answers"
        else:
            self._unanswered_since.pop(name, None)
            return "answers"
        unanswered_s = now - self._unanswered_since.setdefault(name, now)
        infos = [info for info in await self._ask_witnesses() if (info.get("cluster") or {}).get("replicas")]
        is_useless = bool(infos) and unanswered_s >= _UNANSWERED_TIMEOUT_S
        return "lost" if is_useless or any(silent_nodes(info) for info in infos) else "silent"

    async def _ask_witnesses(self) -> list[dict[str, Any]]:
        """Return the descriptions of the replicated streams that answer."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._info(witness)) for witness in _WITNESSES]
        return [info for task in tasks if (info := task.result()) is not None]

    async def _info(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._bus.api(f"STREAM.INFO.{name}", timeout_s=_INFO_TIMEOUT_S)
        except BusError:
            return None

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
