"""Roll-outs of releases on a lab under load: ./just cluster-rollout --lab FOLDER [--rate 3].

On the running lab of `./just cluster-test --keep FOLDER`. `rollout.yml` gives an equal release, built from a changed
checkout, to all hosts; `rollback.yml` returns to the former one; then `rollout.yml` must withdraw a release that
fails a fifth of its turns, and leave the former one in force. Customers write meanwhile, in new conversations. Exit
status 1 if a playbook does something else, a share is further off than two points and three standard errors, a
conversation changes its colour, or an accepted message is lost. Each playbook is bounded to ten minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.cluster.faults import running_lab
from tests.cluster.lab import ANSWER_WITHIN_S, ROOT, Lab, LabError
from tests.cluster.load import LabServers, entry_of
from tests.faults.customers import TEXTS
from tests.faults.new_conversations import NewConversations
from tests.faults.rollout_evidence import Evidence, evidence_of
from tests.faults.verifier import verify

_PLAYBOOK_TIMEOUT_S: Final = 600.0
_PLAN: Final = {
    "trunkline__rollout_shares": "5,25,50,100",
    "trunkline__rollout_min_turns": 5,
    "trunkline__rollout_slow": "30s",
    "trunkline__rollout_timeout_s": 400,
}
_LEFT_OUT: Final = shutil.ignore_patterns(".venv", ".git", "__pycache__", ".*_cache")
_WORKER: Final = "services/agents/src/trunkline_agents/application/turn_worker.py"
_EQUAL: Final = "\n# Another release, by its content.\n"
_DEFECT: Final = """

_sound = TurnWorker.process


async def _fail_every_fifth(worker, task):
    from zlib import crc32

    from trunkline_protocols.turn import TurnFailed

    if crc32(task.request.ref.turn.encode()) % 5 == 0:
        return TurnFailed(ref=task.request.ref, reason="defect", retryable=False)
    return await _sound(worker, task)


TurnWorker.process = _fail_every_fifth
"""


def main() -> int:
    """Run the steps; return the exit status."""
    parser = argparse.ArgumentParser(prog="cluster-rollout", description=__doc__)
    parser.add_argument("--lab", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=3.0, help="new conversations per second (%(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(_check(running_lab(options.lab), options.rate))
    except (LabError, TimeoutError, subprocess.TimeoutExpired) as error:
        print(f"cluster-rollout: FAILED: {error}", file=sys.stderr)
        return 1
    print("cluster-rollout: passed")
    return 0


async def _check(lab: Lab, rate: float) -> None:
    former = _current(lab)
    load = NewConversations(entry_of(lab), TEXTS, rate)
    async with load.running():
        await asyncio.sleep(5.0)
        await _timed("rollout.yml, equal release", _roll_out, lab, "equal", _EQUAL, "15s")
        await _check_commits(lab, "finished")
        _require(_current(lab) != former, "the new release is not in force")
        await _timed("rollback.yml", lambda: lab.play("rollback.yml", timeout_s=_PLAYBOOK_TIMEOUT_S))
        _require(_current(lab) == former, "the former release is not in force again")
        await _timed("rollout.yml, release that fails a fifth of its turns", _expect_withdrawal, lab)
        await _check_commits(lab, "withdrawn")
        _require(_current(lab) == former, "a release that was withdrawn is in force")
        await load.drain(ANSWER_WITHIN_S)
    servers = LabServers(lab)
    report = await verify(servers, [each.record for each in load.customers], [], security=servers.security())
    _require(report.is_clean, f"messages: {report}")
    _say(f"{report.accepted} messages, none lost, longest delay {report.max_delay_s:.1f} s")


def _roll_out(lab: Lab, name: str, addition: str, hold: str) -> None:
    """Roll out this checkout with an addition to its code; `hold` is the shortest time at each share."""
    checkout = lab.folder / f"checkout-{name}"
    shutil.rmtree(checkout, ignore_errors=True)
    shutil.copytree(ROOT, checkout, ignore=_LEFT_OUT)
    with (checkout / _WORKER).open("a", encoding="utf-8") as file:
        file.write(addition)
    variables: dict[str, Any] = _PLAN | {
        "trunkline__rollout_hold": hold,
        "wheelhouse__checkout": str(checkout),
        "wheelhouse__python": str(ROOT / ".venv" / "bin" / "python"),
        # Wheels of third parties are there already.
        "wheelhouse__control_dir": str(ROOT / ".venv" / "tools" / "wheelhouse"),
    }
    extra = msgspec.json.encode(variables).decode()
    lab.play("rollout.yml", "--extra-vars", extra, timeout_s=_PLAYBOOK_TIMEOUT_S)


def _expect_withdrawal(lab: Lab) -> None:
    try:
        _roll_out(lab, "defect", _DEFECT, "2m")
    except LabError as error:
        _require("was withdrawn: failed" in str(error), f"rollout.yml failed for another reason: {error}")
    else:
        raise LabError("a release that fails a fifth of its turns was not withdrawn")


async def _check_commits(lab: Lab, phase: str) -> Evidence:
    """Check the end, the shares and the colours of the last roll-out."""
    first = next(iter(lab.addresses))
    shown = await asyncio.to_thread(lab.trunkline, first, "release", "status", "--json")
    state = msgspec.json.decode(shown)["rollout"]
    _require(state.get("phase") == phase, f"the roll-out is {state.get('phase')}: {state['decisions'][-1]}")
    servers = LabServers(lab)
    evidence = await evidence_of(servers.nats_url(), "release", state, servers.security())
    _require(not evidence.changed, f"conversations changed their colour: {evidence.changed[:3]}")
    _require(not evidence.unfair, f"shares: {evidence.unfair}")
    _say(f"{phase}: {evidence.figures()}, {state['decisions'][-1].get('reason', '')}")
    return evidence


def _current(lab: Lab) -> str:
    """Return the release that is in force on every host."""
    links = {host: lab.run(host, "readlink /opt/trunkline/current").strip() for host in lab.addresses}
    _require(len(set(links.values())) == 1, f"hosts have different releases: {links}")
    return next(iter(links.values()))


async def _timed(step: str, function: Callable[..., object], *arguments: object) -> None:
    started = time.monotonic()
    await asyncio.to_thread(function, *arguments)
    _say(f"{step}: {time.monotonic() - started:.0f} s")


def _require(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise LabError(message)


def _say(text: str) -> None:
    print(f"cluster-rollout: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
