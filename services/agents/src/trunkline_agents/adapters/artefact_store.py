"""Routing artefacts in KV ROUTING, trained if missing.

current               version of the latest artefact, for operators
model.<version>.<n>   the artefact in chunks that fit a message
training.<version>    claim of the process that trains it, renewed while it does; the others poll
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import msgspec
import structlog
from trunkline_chassis.bus import Bus, StreamMessage
from trunkline_chassis.errors import BusError, FenceError
from trunkline_chassis.undecodable import report_undecodable
from trunkline_protocols import codec
from trunkline_protocols.fleet import Fleet
from trunkline_protocols.streams import ROUTING

from trunkline_agents.adapters.artefact_folder import ArtefactFolder
from trunkline_agents.core.routing.artefact import RoutingModel, UnreadableArtefactError, decode
from trunkline_agents.ports import TrainingFailedError

_log: Final = structlog.get_logger(__name__)
_STREAM: Final = f"KV_{ROUTING.name}"
_PREFIX: Final = f"$KV.{ROUTING.name}"
_CHUNK_BYTES: Final = 512 * 1024
_POLL_INTERVAL_S: Final = 0.25
_RENEWAL_INTERVAL_S: Final = 4.0
_CLAIM_EXPIRY_S: Final = 20.0
"""Age at which a claim has expired: its process has died in its training."""


_ChunkCount = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class _Claim(msgspec.Struct, frozen=True):
    at: float


class KvArtefactStore:
    """Artefact store that trains each version in one process."""

    def __init__(self, bus: Bus, *, training_timeout_s: float, folder: ArtefactFolder | None = None) -> None:
        """`training_timeout_s` bounds a training, by this process or another one; `folder` may have artefacts."""
        self._bus = bus
        self._folder = folder
        self._timeout_s = training_timeout_s

    async def model(self, version: str, fleet: Fleet) -> RoutingModel:
        """Return the artefact of a version, trained if missing; raise `TrainingFailedError` if training fails."""
        deadline = time.monotonic() + 2 * self._timeout_s
        while time.monotonic() < deadline:
            found, sequence = await self._read(version)
            if found is not None:
                return found
            if await self._claim(version, after=sequence):
                payload = await self._trained(version, fleet)
                await self.put(version, payload)
                return decode(payload)
            await asyncio.sleep(_POLL_INTERVAL_S)
        raise TrainingFailedError(f"no routing artefact {version} within {2 * self._timeout_s:g} s")

    async def _read(self, version: str) -> tuple[RoutingModel | None, int]:
        """Return an artefact, None if it is missing or cannot be decoded, and its sequence, 0 if it is missing."""
        count = await self._bus.last_message(_STREAM, f"{_PREFIX}.model.{version}.count")
        if count is None:
            return None, 0
        try:
            chunks = [
                await self._bus.last_message(_STREAM, f"{_PREFIX}.model.{version}.{number}")
                for number in range(codec.decode(count.payload, _ChunkCount))
            ]
            return decode(b"".join(chunk.payload for chunk in chunks if chunk is not None)), count.seq
        except (codec.DecodeError, UnreadableArtefactError) as error:
            report_undecodable("routing", count.subject, error, sequence=count.seq)
            return None, count.seq

    async def put(self, version: str, payload: bytes) -> None:
        """Store an artefact for the other processes of its fleet."""
        count = math.ceil(len(payload) / _CHUNK_BYTES)
        for number in range(count):
            chunk = payload[number * _CHUNK_BYTES : (number + 1) * _CHUNK_BYTES]
            await self._put(f"model.{version}.{number}", chunk)
        # Written last: once the count is visible, all chunks are.
        await self._put(f"model.{version}.count", str(count).encode())
        await self._put("current", version.encode())
        _log.info("routing.trained", version=version, bytes=len(payload))

    async def _put(self, key: str, payload: bytes) -> None:
        await self._bus.append(f"{_PREFIX}.{key}", payload, message_id=f"{key}-{time.time_ns()}")

    async def _claim(self, version: str, *, after: int) -> bool:
        """Claim the training; return False if another process holds a claim that has not expired.

        `after`: sequence of an unreadable artefact, which ends the claims before it.
        """
        subject = f"{_PREFIX}.training.{version}"
        last = await self._bus.last_message(_STREAM, subject)
        now = time.time()
        # The claim of a process whose clock is ahead expires too.
        if last is not None and last.seq > after and abs(now - _claimed_at(last)) < _CLAIM_EXPIRY_S:
            return False
        try:
            await self._bus.append(
                subject,
                msgspec.json.encode(_Claim(now)),
                message_id=f"training-{version}-{time.time_ns()}",
                fence=(subject, last.seq if last is not None else 0),
            )
        except FenceError:
            return False
        return True

    async def _trained(self, version: str, fleet: Fleet) -> bytes:
        """Return an artefact from the folder, or train it and store it there."""
        if self._folder is None:
            return await self._train_under_claim(version, fleet)
        stored = await asyncio.to_thread(self._folder.read, version)
        if stored is not None:
            try:
                if decode(stored).version == version:
                    return stored
                reason = "of another version"
            except UnreadableArtefactError as error:
                reason = str(error)
            _log.warning("routing.cached_unusable", version=version, reason=reason)
        payload = await self._train_under_claim(version, fleet)
        await asyncio.to_thread(self._folder.write, version, payload)
        return payload

    async def _train_under_claim(self, version: str, fleet: Fleet) -> bytes:
        """Train, and renew the claim meanwhile: it may take minutes on a busy machine."""
        outcome: bytes | TrainingFailedError
        async with asyncio.TaskGroup() as tasks:
            renewal = tasks.create_task(self._renew(version))
            try:
                outcome = await _train(version, fleet, self._timeout_s)
            except TrainingFailedError as error:
                outcome = error
            finally:
                renewal.cancel()
        if isinstance(outcome, TrainingFailedError):
            raise outcome
        return outcome

    async def _renew(self, version: str) -> None:
        """Renew the claim until cancelled."""
        while True:
            await asyncio.sleep(_RENEWAL_INTERVAL_S)
            try:
                await self._put(f"training.{version}", msgspec.json.encode(_Claim(time.time())))
            except BusError as error:
                _log.warning("routing.claim_not_renewed", version=version, error=str(error))


def _claimed_at(claim: StreamMessage) -> float:
    """Return the time of a claim; one that cannot be decoded has expired."""
    try:
        return codec.decode(claim.payload, _Claim).at
    except codec.DecodeError as error:
        report_undecodable("routing", claim.subject, error, sequence=claim.seq)
        return -math.inf


async def _train(version: str, fleet: Fleet, timeout_s: float) -> bytes:
    """Run the trainer in a subprocess and return the artefact."""
    with TemporaryDirectory(prefix="trunkline-routing-") as folder:
        source, output = Path(folder) / "fleet.json", Path(folder) / "artefact"
        source.write_bytes(msgspec.json.encode(fleet))
        trainer = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline_agents.train", str(source), version, str(output)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(timeout_s):
                _, errors = await trainer.communicate()
        except TimeoutError as error:
            trainer.kill()
            await trainer.wait()
            raise TrainingFailedError(f"training took longer than {timeout_s:g} s") from error
        if trainer.returncode != 0:
            raise TrainingFailedError(errors.decode(errors="replace")[-500:])
        return output.read_bytes()
