"""Roll-outs under load on one machine: ./just rollout-test [--equal 3] [--rate 4] [--only release defect fleet].

New conversations of three messages begin all the time. Equal releases must reach every conversation, one of them
although the controller is killed in the middle; a release that fails a fifth of its turns must go back by itself within
a minute of its 30th finished turn; an equal fleet version must be served although its controller is killed. After each
roll-out the commits must show the shares within two points or three standard errors, and no conversation with another
version than that of its draw. At the end no accepted message is lost. Exit status 1 if one of these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.faults.customers import TEXTS, Entry
from tests.faults.new_conversations import NewConversations
from tests.faults.rollout_evidence import Evidence, evidence_of
from tests.faults.verifier import verify
from tests.support.agents_process import agents
from tests.support.suite import Suite, run_cli, wait_until

_FLEET: Final = Path(__file__).parents[2] / "fleet"
_PLAN: Final = ("--hold", "8s", "--min-turns", "10", "--slow", "30s")
"""Overhead of a machine that does nothing else is far below; one that computes beside is slow in both releases."""
_STEPS: Final = ("release", "defect", "fleet")
_CONTROLLER: Final = "ingress-1"
_END_WITHIN_S: Final = 600.0
_WITHDRAWN_WITHIN_S: Final = 60.0
_THIRTIETH: Final = 30
_ANSWER_WITHIN_S: Final = 90.0


class RolloutError(Exception):
    """A roll-out did not do what it must."""


def main() -> int:
    """Run the steps on a suite of its own; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--equal", type=int, default=3, help="roll-outs of an equal release (%(default)s)")
    parser.add_argument("--rate", type=float, default=4.0, help="new conversations per second (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=_STEPS, default=list(_STEPS))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="trunkline-rollouts-"))
    suite = Suite(folder / "data", {"TRUNKLINE_MESSAGES_PER_S": "1000", "TRUNKLINE_COLOUR": "blue"})
    try:
        asyncio.run(_run(suite, folder, options))
    except (RolloutError, AssertionError, TimeoutError) as error:
        print(f"rollout-test: FAILED: {error}; data and logs are kept in {folder}", file=sys.stderr)
        return 1
    finally:
        suite.stop()
    shutil.rmtree(folder)
    print("rollout-test: passed")
    return 0


async def _run(suite: Suite, folder: Path, options: argparse.Namespace) -> None:
    await _until(lambda: run_cli(suite, "release", "status").returncode == 0, "a colour is in force", 60.0)
    load = NewConversations(Entry((suite.url,)), TEXTS, options.rate)
    async with load.running():
        if "release" in options.only:
            for number in range(options.equal):
                await _equal_release(suite, number, kills_controller=number == 1)
        if "defect" in options.only:
            await _defect_release(suite)
        if "fleet" in options.only:
            await _equal_fleet(suite, folder)
        await load.drain(_ANSWER_WITHIN_S)
    report = await verify(suite, [customer.record for customer in load.customers], [])
    if not report.is_clean:
        raise RolloutError(f"messages: {report.clients[:3]} {report.log[:3]} {report.postgres[:3]}")
    _print("messages", accepted=report.accepted, answered=report.answered, longest_delay_s=round(report.max_delay_s, 1))
    if report.accepted != report.answered:
        raise RolloutError(f"{report.accepted - report.answered} accepted messages have no answer")


async def _equal_release(suite: Suite, number: int, *, kills_controller: bool) -> None:
    """Roll an equal release out and back: the processes of the suite stay those of its colour."""
    async with _agents(suite, f"agents-new-{number}", "green"):
        await _cli(suite, "release", "roll-out", "--to", "green", *_PLAN)
        killed_at = await _kill_controller(suite, "release") if kills_controller else None
        state = await _end(suite, "release")
        evidence = await _evidence(suite, "release", state)
        _require(state["phase"] == "finished", f"an equal release was {state['phase']}: {state['decisions'][-1]}")
        _print(f"equal release {number + 1}", controller_killed_at=killed_at, **evidence.figures())
        await _cli(suite, "release", "roll-out", "--to", "blue", "--shares", "100", "--hold", "0s", *_PLAN[2:])
        await _end(suite, "release")


async def _defect_release(suite: Suite) -> None:
    """Expect that a release which fails a fifth of its turns goes back within a minute of its 30th finished turn."""
    async with _agents(suite, "agents-defect", "green", module="tests.support.failing_agents"):
        await _cli(suite, "release", "roll-out", "--to", "green", *_PLAN[2:], "--hold", "1h")
        state = await _end(suite, "release")
        evidence = await _evidence(suite, "release", state)
        _require(state["phase"] == "withdrawn", f"a release with a defect was {state['phase']}")
        withdrawn_at = state["decisions"][-1]["at"]
        finished = evidence.candidate_turns_at
        after_s = withdrawn_at - finished[_THIRTIETH - 1] if len(finished) >= _THIRTIETH else None
        _print(
            "release that fails a fifth",
            reason=state["decisions"][-1]["reason"],
            after_30th_turn_s=round(after_s, 1) if after_s is not None else "before it",
            **evidence.figures(),
        )
        _require(after_s is None or after_s <= _WITHDRAWN_WITHIN_S, f"withdrawn {after_s} s after the 30th turn")


async def _equal_fleet(suite: Suite, folder: Path) -> None:
    """The same controller rolls out a fleet version, which differs in its greeting alone."""
    fleet = Path(shutil.copytree(_FLEET, folder / "fleet"))
    file = fleet / "fleet.toml"
    file.write_text(file.read_text().replace('greeting = "', 'greeting = "Good day. ', 1))
    await _cli(suite, "fleet", "apply", str(fleet), "--share", "5,25,50,100", *_PLAN)
    killed_at = await _kill_controller(suite, "fleet")
    state = await _end(suite, "fleet")
    evidence = await _evidence(suite, "fleet", state)
    _require(state["phase"] == "finished", f"an equal version was {state['phase']}: {state['decisions'][-1]}")
    _print("equal fleet version", controller_killed_at=killed_at, **evidence.figures())


async def _kill_controller(suite: Suite, kind: str) -> str:
    """Kill the controller in the middle of the second share; return where."""
    await _until(lambda: _state(suite, kind).get("share", 0) >= 25, "the second share", 300.0)
    share = _state(suite, kind)["share"]
    killed = await asyncio.to_thread(suite.kill, _CONTROLLER)
    await _until(lambda: suite.pid(_CONTROLLER) != killed, "the controller is started again", 60.0)
    return f"{share} %"


async def _end(suite: Suite, kind: str) -> dict[str, Any]:
    await _until(lambda: _state(suite, kind).get("phase") in {"finished", "withdrawn"}, "the end", _END_WITHIN_S)
    return _state(suite, kind)


def _state(suite: Suite, kind: str) -> dict[str, Any]:
    path = {"release": "/v1/ops/release", "fleet": "/v1/ops/fleet/rollout"}[kind]
    return dict(suite.get(path)["rollout"])


async def _evidence(suite: Suite, kind: str, state: dict[str, Any]) -> Evidence:
    evidence = await evidence_of(suite.nats_url(), kind, state)
    _require(not evidence.changed, f"conversations changed: {evidence.changed[:3]}")
    _require(not evidence.unfair, f"shares: {evidence.unfair}")
    return evidence


@asynccontextmanager
async def _agents(suite: Suite, instance: str, colour: str, module: str = "trunkline_agents") -> AsyncIterator[None]:
    with agents(suite, instance, colour, module=module):
        yield


async def _cli(suite: Suite, *arguments: str) -> None:
    done = await asyncio.to_thread(run_cli, suite, *arguments)
    _require(done.returncode == 0, f"{' '.join(arguments[:2])}: {done.stderr}")


async def _until(condition: Any, description: str, timeout_s: float) -> None:
    await asyncio.to_thread(wait_until, condition, description, timeout_s)


def _require(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise RolloutError(message)


def _print(step: str, **figures: object) -> None:
    print(msgspec.json.encode({"at": time.strftime("%H:%M:%S"), "step": step} | figures).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
