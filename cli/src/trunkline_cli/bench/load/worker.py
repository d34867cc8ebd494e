"""A generator process of `trunkline bench load`: requests on its standard input, replies on its standard output."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

import psutil
import uvloop

from trunkline_cli.bench.load import messages
from trunkline_cli.bench.load.core.tally import tally
from trunkline_cli.bench.load.file_limit import raise_file_limit
from trunkline_cli.bench.load.generator import Generator, open_generator
from trunkline_cli.bench.load.messages import Begin, Driven, Failed, Finished, FinishLoad, Prepare, Progress, Ready
from trunkline_cli.bench.load.model_times import read_model_times
from trunkline_cli.errors import CommandError
from trunkline_cli.options import client_settings

_PROGRESS_INTERVAL_S: Final = 0.5
_MIB: Final = 2**20
R = TypeVar("R", bound=messages.Request)


class CommandGoneError(Exception):
    """The command has closed the pipe: it has ended, or gave the load up."""


class _Pipe:
    """The two pipes to the command."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._reported_at = 0.0

    async def receive(self, type_: type[R]) -> R:
        raw = await self._reader.readline()
        if not raw:
            raise CommandGoneError
        request = messages.request.decode(raw)
        if not isinstance(request, type_):
            raise CommandError(f"{type(request).__name__} received, not {type_.__name__}")
        return request

    def send(self, message: messages.Reply) -> None:
        sys.stdout.buffer.write(messages.line(message))
        sys.stdout.buffer.flush()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """End a phase in which no request is expected when the command ends; raise `CommandGoneError`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._wait_for_end())
                yield
                watching.cancel()
        except* (CommandGoneError, CommandError) as errors:
            raise errors.exceptions[0] from None

    async def _wait_for_end(self) -> None:
        if await self._reader.read(1):
            raise CommandError("a request was received during a phase")
        raise CommandGoneError

    def progress(self, done: float) -> None:
        now = time.monotonic()
        if now - self._reported_at >= _PROGRESS_INTERVAL_S:
            self._reported_at = now
            self.send(Progress(done))


async def _run() -> None:
    reader = asyncio.StreamReader(limit=messages.MAX_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    pipe = _Pipe(reader)
    try:
        await _generate(pipe, await pipe.receive(Prepare))
    except CommandError as error:
        pipe.send(Failed(str(error)))


async def _generate(pipe: _Pipe, prepare: Prepare) -> None:
    plan = prepare.plan
    settings = client_settings(prepare.url, Path(prepare.data_dir))
    raise_file_limit(len(plan.numbers))
    async with open_generator(settings, plan) as generator:
        async with pipe.watched():
            await generator.open(pipe.progress)
            await generator.warm_up(pipe.progress)
        pipe.send(Ready())
        begin = await pipe.receive(Begin)
        async with pipe.watched():
            cpu_s = await _drive(pipe, generator, begin.at)
        rss_mib = psutil.Process(os.getpid()).memory_info().rss / _MIB
        pipe.send(Driven())
        await pipe.receive(FinishLoad)
        await generator.close()
    async with pipe.watched():
        await read_model_times(
            settings, generator.records, sample=plan.traces, seed=plan.seed, on_progress=pipe.progress
        )
    result = tally(
        generator.records,
        skipped=generator.skipped,
        delayed=generator.delayed,
        replaced=generator.replaced,
        cpu_s=cpu_s,
        rss_mib=rss_mib,
    )
    pipe.send(Finished(result))


async def _drive(pipe: _Pipe, generator: Generator, start_at: float) -> float:
    """Send the load and return its CPU seconds."""
    await asyncio.sleep(max(0.0, start_at - time.monotonic()))
    before = time.process_time()
    await generator.drive(start_at, pipe.progress)
    return time.process_time() - before


def main() -> int:
    """Run until the result is reported; an interrupt is for the command, which then closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run())
        except (CommandGoneError, BrokenPipeError):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
