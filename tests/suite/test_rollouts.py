"""Roll-out of a fleet version on a running suite: by shares, on and back by itself, over a crash of its controller."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import shutil
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from trunkline_protocols import codec
from trunkline_protocols.log import Commit, TurnAnswered
from trunkline_protocols.rollout import FleetRollout
from trunkline_protocols.rules.rollout import is_drawn_to_candidate

from tests.support.commit_log import QUESTION, CommitLog, ask_once, commit_log
from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, wait_until

pytestmark = pytest.mark.processes

FLEET = Path(__file__).parents[2] / "fleet"
MAX_CONVERSATIONS = 120
CONTROLLER = "ingress-1"
BETWEEN_S = 0.1
"""Time between two messages of a customer, whose rate is limited."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the demo fleet."""
    return Path(shutil.copytree(FLEET, tmp_path / "fleet"))


@pytest.fixture
async def log(suite: Suite) -> AsyncIterator[CommitLog]:
    """Reader of all commits since the start of the test."""
    async with commit_log(suite) as read:
        yield read


def rollout(suite: Suite) -> FleetRollout:
    """Return the state of the last roll-out."""
    return codec.convert(suite.get("/v1/ops/fleet/rollout")["rollout"], FleetRollout)


def break_knowledge(folder: Path) -> None:
    """Close every topic to customers without a verified token, which these tests do not send: all agents abstain."""
    files = folder.glob("agents/*/*.toml")
    topics = {topic for file in files for topic in tomllib.loads(file.read_text())["knowledge"]["topics"]}
    with (folder / "fleet.toml").open("a") as file:
        file.writelines(f"\n[customers.topics.{topic}]\nverified = true\n" for topic in sorted(topics))


def start(suite: Suite, folder: Path, *options: str) -> int:
    """Start a roll-out, wait until its first share is drawn, and return the number of its candidate."""
    started = run_cli(suite, "fleet", "apply", str(folder), *options)
    assert started.returncode == 0, started.stderr
    wait_until(lambda: rollout(suite).phase == "running", "every process has loaded the candidate", 90)
    return rollout(suite).candidate


async def open_on(suite: Suite, candidate: int, stack: AsyncExitStack, log: CommitLog) -> Customer:
    """Return a customer whose conversation was drawn to the candidate and has an answer."""
    for _ in range(MAX_CONVERSATIONS):
        customer = await stack.enter_async_context(Customer(suite.url))
        await customer.start()
        await customer.ask("m1", QUESTION)
        if versions_of(await log(), customer.conversation)[-1] == candidate:
            return customer
    raise AssertionError("no conversation was drawn to the candidate")


async def ask_until_version(customer: Customer, version: int, log: CommitLog) -> None:
    """Ask until a turn has a version: its process hears of a change after the test."""
    async with asyncio.timeout(30):
        for number in itertools.count():
            await customer.ask(f"until-{version}-{number}", "Thank you!")
            if versions_of(await log(), customer.conversation)[-1] == version:
                return
            await asyncio.sleep(BETWEEN_S)


def versions_of(commits: list[Commit], conversation: str) -> list[int]:
    """Return the fleet version of every commit of a conversation."""
    return [commit.fleet_version for commit in commits if commit.conversation == conversation]


def assert_share_is_honoured(commits: list[Commit], candidate: int, share: int) -> None:
    """The first commit of each conversation names its draw, every later one the same version, answers come from it."""
    drawn = [commit for commit in commits if commit.draw is not None and commit.draw.candidate == candidate]
    firsts = [commit for commit in drawn if commit.previous == 0 and commit.draw is not None]
    assert firsts
    assert {commit.draw.share for commit in firsts if commit.draw is not None} == {share}
    for commit in firsts:
        assert commit.draw is not None
        assert (commit.fleet_version == candidate) is is_drawn_to_candidate(commit.conversation, commit.draw)
    chosen = sum(commit.fleet_version == candidate for commit in firsts)
    assert abs(chosen / len(firsts) - share / 100) <= 4 * math.sqrt(share / 100 * (1 - share / 100) / len(firsts))
    answers = [(commit, event) for commit in drawn for event in commit.events if isinstance(event, TurnAnswered)]
    assert all(event.fleet_version == commit.fleet_version for commit, event in answers if event.title)


async def test_worse_version_goes_back_by_itself(suite: Suite, folder: Path, log: CommitLog) -> None:
    """Its agents find no article and abstain; the customers of the served version notice nothing."""
    break_knowledge(folder)
    before = suite.get("/v1/ops/fleet")["version"]
    candidate = start(suite, folder, "--share", "50", "--hold", "1h", "--min-turns", "1000")
    refused = run_cli(suite, "fleet", "rollback", "--to", str(before))
    assert "is being rolled out: abort it first" in refused.stderr
    async with AsyncExitStack() as stack:
        customer = await open_on(suite, candidate, stack, log)
        for _ in range(MAX_CONVERSATIONS):
            if rollout(suite).phase == "withdrawn":
                break
            await ask_once(suite)
        wait_until(lambda: rollout(suite).phase == "withdrawn", "the controller has counted the last turns")
        assert_share_is_honoured(await log(), candidate, 50)
        await ask_until_version(customer, before, log)
    assert suite.get("/v1/ops/fleet")["version"] == before
    status = run_cli(suite, "fleet", "rollout", "status").stdout
    assert re.search(r"withdrawn at 0 % by ingress-1: abstained: \d+ of \d+ turns, and \d+ of \d+ of", status), status


async def test_equal_version_is_served_by_all_after_a_crash_of_the_controller(
    suite: Suite, folder: Path, log: CommitLog
) -> None:
    """A conversation keeps its version over the crash and a pause, and has the published one at the end."""
    file = folder / "fleet.toml"
    file.write_text(file.read_text().replace('greeting = "', 'greeting = "Good day. ', 1))
    before = suite.get("/v1/ops/fleet")["version"]
    candidate = start(suite, folder, "--share", "50", "--hold", "1s", "--min-turns", "5", "--note", "spring")
    assert run_cli(suite, "fleet", "rollout", "pause").returncode == 0
    async with AsyncExitStack() as stack:
        customer = await open_on(suite, candidate, stack, log)
        for _ in range(20):
            await ask_once(suite)
        killed = suite.kill(CONTROLLER)
        wait_until(lambda: suite.pid(CONTROLLER) != killed, "the controller is started again", 60)
        wait_until(lambda: suite.status()[CONTROLLER]["state"] == "ready", "the controller is ready", 60)
        await customer.resume()
        await customer.ask("m2", QUESTION)
        assert set(versions_of(await log(), customer.conversation)) == {candidate}
        assert_share_is_honoured(await log(), candidate, 50)
        wait_until(lambda: "candidate: " in suite.get("/v1/ops/fleet/rollout")["observed"], "the turns are counted")
        assert run_cli(suite, "fleet", "rollout", "resume").returncode == 0
        wait_until(lambda: rollout(suite).phase == "finished", "the candidate is served", 90)
        active = suite.get("/v1/ops/fleet")
        assert (active["version"], active["note"]) == (rollout(suite).published, "spring")
        assert active["version"] > candidate > before
        assert active["fleet"]["company"]["greeting"].startswith("Good day. ")
        await ask_until_version(customer, active["version"], log)
    assert [decision.action for decision in rollout(suite).decisions] == [
        *("started", "raised", "paused", "resumed", "finishing", "finished"),
    ]
    back = run_cli(suite, "fleet", "rollback", "--to", str(before))
    assert back.returncode == 0, back.stderr
