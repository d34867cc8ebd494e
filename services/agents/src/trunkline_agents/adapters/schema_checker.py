"""Schema checks in a process of their own, started with the first check and replaced after one that did not end."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from trunkline_protocols.decoding import Decoder, encode

from trunkline_agents.ports import ToolError

MAX_SCHEMA_BYTES: Final = 64 * 1024
_REPLY_TIMEOUT_S: Final = 10.0
"""The process ends a check after a second itself; the rest is for its start on a busy machine."""
_WAIT_TIMEOUT_S: Final = 20.0
_decoder: Final[Decoder[str]] = Decoder(str)
_COMMAND: Final = (sys.executable, "-I", "-m", "trunkline_agents.adapters.schema_worker")


class ProcessSchemaChecker:
    """Checks arguments one after the other in a single process."""

    def __init__(self) -> None:
        """Start without a process."""
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def find_violation(self, schema: dict[str, Any], arguments: dict[str, Any]) -> str:
        """Check arguments; see `ports.SchemaChecker`."""
        encoded = encode(schema)
        if len(encoded) > MAX_SCHEMA_BYTES:
            raise ToolError(f"the tool's schema is larger than {MAX_SCHEMA_BYTES} bytes")
        try:
            async with asyncio.timeout(_WAIT_TIMEOUT_S), self._lock:
                return await self._check(b"[" + encoded + b"," + encode(arguments) + b"]\n")
        except TimeoutError as error:
            raise ToolError("the arguments could not be checked in time") from error

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _check(self, request: bytes) -> str:
        process = await self._running()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        is_done = False
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                process.stdin.write(request)
                await process.stdin.drain()
                line = await process.stdout.readline()
            if not line:
                raise ToolError("the tool's schema took too long to check")
            is_done = True
            return _decoder.decode(line)
        except ConnectionError as error:
            raise ToolError("the arguments could not be checked") from error
        finally:
            # After a cancellation too: a reply that was not read must not answer the next check.
            if not is_done:
                await self.close()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},  # no variable and no secret of the suite is needed there
            )
        return self._process
