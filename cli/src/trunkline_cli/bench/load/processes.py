"""Generator processes of a load: one start moment, results in the order of the processes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from trunkline_cli.bench.load import messages
from trunkline_cli.bench.load.core.profile import seconds_of
from trunkline_cli.bench.load.core.tally import Tally
from trunkline_cli.bench.load.generator import ANSWERS_TIMEOUT_S
from trunkline_cli.bench.load.messages import Begin, Driven, Failed, Finished, FinishLoad, Prepare, Progress, Ready
from trunkline_cli.bench.load.plan import LoadPlan
from trunkline_cli.bench.phases import Phases
from trunkline_cli.errors import CommandError
from trunkline_cli.settings import ClientSettings

_START_DELAY_S: Final = 0.5
"""Time for every process to receive the start moment."""
_PREPARE_TIMEOUT_S: Final = 7_200.0
"""For opening and warming up, each step of which has a timeout of its own."""
_FINISH_TIMEOUT_S: Final = 3_600.0
_END_TIMEOUT_S: Final = 30.0
R = TypeVar("R", bound=messages.Reply)


class Generators:
    """Running generator processes; use `start_generators` to create them."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process], plan: LoadPlan, phases: Phases) -> None:
        """Talk to one process per share."""
        self._processes = processes
        self._plan = plan
        self._phases = phases
        self._done = [0.0] * len(processes)

    async def prepare(self, settings: ClientSettings) -> None:
        """Open the conversations and warm them up; raise `CommandError` if a process cannot."""
        plan = self._plan
        turns = (plan.active or plan.conversations) * plan.warm_up
        warming = f" and warming up with {turns} turns" if turns else ""
        self._phases.begin(f"opening {plan.conversations} conversations{warming}", max(plan.conversations, turns))
        for number, process in enumerate(self._processes):
            request = Prepare(url=settings.url, data_dir=str(settings.data_dir), plan=plan.share(number))
            await self._send(process, request)
        await self._receive_all(Ready, _PREPARE_TIMEOUT_S)

    async def drive(self) -> None:
        """Send the load, from one moment on, and wait for the answers."""
        seconds = seconds_of(self._plan.phases)
        self._phases.begin(f"sending for {seconds:g} s", seconds * len(self._processes))
        begin = Begin(time.monotonic() + _START_DELAY_S)
        for process in self._processes:
            await self._send(process, begin)
        await self._receive_all(Driven, _START_DELAY_S + seconds + 3 * ANSWERS_TIMEOUT_S)

    async def finish(self) -> list[Tally]:
        """Close the conversations, read the model's times and return the results."""
        self._phases.begin("reading the model's times", self._plan.max_traces or self._plan.conversations)
        for process in self._processes:
            await self._send(process, FinishLoad())
        return [finished.tally for finished in await self._receive_all(Finished, _FINISH_TIMEOUT_S)]

    async def _send(self, process: asyncio.subprocess.Process, message: messages.Request) -> None:
        assert process.stdin is not None  # noqa: S101 - it was started with a pipe
        try:
            process.stdin.write(messages.line(message))
            await process.stdin.drain()
        except ConnectionError as error:
            raise CommandError("a generator process has ended") from error

    async def _receive_all(self, type_: type[R], timeout_s: float) -> list[R]:
        self._done = [0.0] * len(self._processes)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._receive_from_all(type_)
        except TimeoutError as error:
            raise CommandError(f"a generator process did not report within {timeout_s:g} s") from error

    async def _receive_from_all(self, type_: type[R]) -> list[R]:
        try:
            async with asyncio.TaskGroup() as tasks:
                receiving = [tasks.create_task(self._receive(number, type_)) for number in range(len(self._processes))]
        except* CommandError as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in receiving]

    async def _receive(self, number: int, type_: type[R]) -> R:
        """Receive replies of a process until one of a type; show progress meanwhile."""
        output = self._processes[number].stdout
        assert output is not None  # noqa: S101 - it was started with a pipe
        while raw := await output.readline():
            match messages.reply.decode(raw):
                case Progress(done=done):
                    self._done[number] = done
                    self._phases.advance(sum(self._done))
                case Failed(message=message):
                    raise CommandError(message)
                case found if isinstance(found, type_):
                    return found
                case other:
                    raise CommandError(f"generator process {number + 1} reported {type(other).__name__}")
        raise CommandError(
            f"generator process {number + 1} has ended with status {await self._processes[number].wait()}"
        )


@asynccontextmanager
async def start_generators(plan: LoadPlan, phases: Phases) -> AsyncIterator[Generators]:
    """Start one process per share; all are ended with the context."""
    processes: list[asyncio.subprocess.Process] = []
    try:
        for _ in range(plan.processes):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "trunkline_cli.bench.load.worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=messages.MAX_LINE_BYTES,
            )
            processes.append(process)
        yield Generators(processes, plan, phases)
    finally:
        await asyncio.gather(*(_end(process) for process in processes))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close the pipe, which ends the process, and kill it if it does not end."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
