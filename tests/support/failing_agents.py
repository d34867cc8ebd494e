"""An agents process of a release with a defect: it fails every fifth turn."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from trunkline_agents import app
from trunkline_agents.application.turn_task import TurnTask
from trunkline_agents.application.turn_worker import TurnWorker
from trunkline_agents.settings import AgentsSettings
from trunkline_chassis.lifecycle import run
from trunkline_chassis.settings import load_settings
from trunkline_protocols.turn import TurnFailed, TurnResult

_EVERY: Final = 5
_sound: Final = TurnWorker.process


async def process(worker: TurnWorker, task: TurnTask) -> TurnResult:
    """Fail every fifth turn, and answer the others."""
    if crc32(task.request.ref.turn.encode()) % _EVERY == 0:
        return TurnFailed(ref=task.request.ref, reason="defect", retryable=False)
    return await _sound(worker, task)


if __name__ == "__main__":
    # A release is another program: its method replaces the present one in this process.
    TurnWorker.process = process  # type: ignore[method-assign, assignment]
    run(app.NAME, load_settings(AgentsSettings), app.service)
