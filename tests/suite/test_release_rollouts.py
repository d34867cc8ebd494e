"""Roll-out of a release to the agents of a running suite: by shares, on and back by itself, over crashes."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from trunkline_protocols import codec
from trunkline_protocols.log import Commit, TurnAnswered
from trunkline_protocols.rollout import ReleaseRollout
from trunkline_protocols.rules.rollout import is_drawn_to_colour

from tests.support.agents_process import agents
from tests.support.commit_log import QUESTION, CommitLog, ask_once, commit_log
from tests.support.customer import Customer
from tests.support.suite import Suite, run_cli, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.long]

MAX_CONVERSATIONS = 400
AT_ONCE = 8
BETWEEN_S = 0.1
"""Time between two messages of a customer, whose rate is limited."""
CONTROLLER = "ingress-1"
PLAN = ("--slow", "60s", "--min-turns", "5")
"""A busy machine is slow in both releases."""


@pytest.fixture(scope="module")
def blue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite whose agents have a colour."""
    environment = {"TRUNKLINE_MESSAGES_PER_S": "30", "TRUNKLINE_COLOUR": "blue"}
    running = Suite(tmp_path_factory.mktemp("blue"), environment)
    try:
        wait_until(lambda: run_cli(running, "release", "status").returncode == 0, "a colour is in force")
        yield running
    finally:
        assert running.stop() == 0


@pytest.fixture
async def log(blue: Suite) -> AsyncIterator[CommitLog]:
    """Reader of all commits since the start of the test."""
    async with commit_log(blue) as read:
        yield read


def rollout(suite: Suite) -> ReleaseRollout:
    """Return the state of the last roll-out."""
    return codec.convert(suite.get("/v1/ops/release")["rollout"], ReleaseRollout)


def start(suite: Suite, to: str, *options: str) -> int:
    """Start a roll-out, wait until its first share is drawn, and return its number."""
    started = run_cli(suite, "release", "roll-out", "--to", to, *PLAN, *options)
    assert started.returncode == 0, started.stderr
    wait_until(lambda: rollout(suite).phase == "running", "the agents of both releases are ready", 90)
    return rollout(suite).number


async def open_on(suite: Suite, colour: str, stack: AsyncExitStack, log: CommitLog) -> Customer:
    """Return a customer whose conversation was drawn to a colour and has an answer."""
    for _ in range(MAX_CONVERSATIONS):
        customer = await stack.enter_async_context(Customer(suite.url))
        await customer.start()
        await customer.ask("m1", QUESTION)
        if turns_of(await log(), customer)[-1][0] == colour:
            return customer
    raise AssertionError(f"no conversation was drawn to {colour}")


async def ask_until(customer: Customer, log: CommitLog, last: tuple[str, str]) -> None:
    """Ask until a turn has a colour and an instance: the processes know of a change after the test."""
    async with asyncio.timeout(60):
        for number in itertools.count():
            await customer.ask(f"u{len(customer.frames)}-{number}", QUESTION)
            colour, instance = turns_of(await log(), customer)[-1]
            if colour == last[0] and instance.startswith(last[1]):
                return
            await asyncio.sleep(BETWEEN_S)


def turns_of(commits: list[Commit], customer: Customer) -> list[tuple[str, str]]:
    """Return the colour and the agents process of every answer of a conversation."""
    return [
        (commit.colour, event.instance)
        for commit in commits
        for event in commit.events
        if commit.conversation == customer.conversation and isinstance(event, TurnAnswered)
    ]


def assert_share_is_honoured(commits: list[Commit], number: int, share: int) -> None:
    """The first commit of each conversation names its draw, and every commit of the roll-out has its colour."""
    drawn: defaultdict[str, list[Commit]] = defaultdict(list)
    for commit in commits:
        if commit.release_draw is not None and commit.release_draw.rollout == number:
            drawn[commit.conversation].append(commit)
    green = 0
    for of_conversation in drawn.values():
        first = of_conversation[0]
        assert first.release_draw is not None
        assert (first.previous, first.release_draw.share) == (0, share)
        colour = "green" if is_drawn_to_colour(first.conversation, first.release_draw) else "blue"
        assert {commit.colour for commit in of_conversation} == {colour}
        green += colour == "green"
    expected = share / 100
    assert abs(green / len(drawn) - expected) <= 4 * math.sqrt(expected * (1 - expected) / len(drawn))


async def test_release_that_fails_a_fifth_of_its_turns_goes_back_by_itself(blue: Suite, log: CommitLog) -> None:
    """Every customer gets a reply, and those of the release in force notice nothing."""
    refused = run_cli(blue, "release", "roll-out", "--to", "blue")
    assert "release blue is in force already" in refused.stderr
    with agents(blue, "agents-defect", "green", module="tests.support.failing_agents"):
        number = start(blue, "green", "--shares", "50", "--hold", "1h")
        refused = run_cli(blue, "fleet", "rollback", "--to", str(blue.get("/v1/ops/fleet")["version"]))
        assert "release green is being rolled out: abort it first" in refused.stderr
        asked = 0
        while rollout(blue).phase == "running" and asked < MAX_CONVERSATIONS:
            await asyncio.gather(*(ask_once(blue) for _ in range(AT_ONCE)))
            asked += AT_ONCE
        wait_until(lambda: rollout(blue).phase == "withdrawn", "the controller has counted the last turns")
        commits = await log()
        answers = [event for commit in commits for event in commit.events if isinstance(event, TurnAnswered)]
        assert len(answers) == asked
        running = [commit for commit in commits if commit.release_draw is not None]
        failed = {c.conversation for c in running for e in c.events if isinstance(e, TurnAnswered) and not e.title}
        assert failed
        assert {commit.colour for commit in running if commit.conversation in failed} == {"green"}
        assert "failed: " in rollout(blue).decisions[-1].reason
    async with AsyncExitStack() as stack:
        await ask_until(await open_on(blue, "blue", stack, log), log, ("blue", "agents-"))
    assert rollout(blue).in_force == "blue"
    assert number == rollout(blue).number


async def test_release_is_in_force_after_crashes_of_its_agents_and_of_the_controller(
    blue: Suite, log: CommitLog
) -> None:
    """A conversation keeps its colour; if its agents die, those of the other release answer meanwhile."""
    async with AsyncExitStack() as stack:
        with agents(blue, "agents-new", "green") as green:
            number = start(blue, "green", "--shares", "50", "--hold", "1s")
            assert run_cli(blue, "release", "pause").returncode == 0
            customer = await open_on(blue, "green", stack, log)
            assert turns_of(await log(), customer) == [("green", "agents-new")]
            for _ in range(3):
                await asyncio.gather(*(ask_once(blue) for _ in range(AT_ONCE)))
            green.kill()
            await customer.ask("m2", QUESTION)
            colour, instance = turns_of(await log(), customer)[-1]
            assert (colour, instance in {"agents-1", "agents-2"}) == ("green", True)
        with agents(blue, "agents-new", "green"):
            await ask_until(customer, log, ("green", "agents-new"))
            killed = blue.kill(CONTROLLER)
            wait_until(lambda: blue.pid(CONTROLLER) != killed, "the controller is started again", 60)
            wait_until(lambda: blue.status()[CONTROLLER]["state"] == "ready", "the controller is ready", 60)
            await customer.resume()
            assert_share_is_honoured(await log(), number, 50)
            assert run_cli(blue, "release", "resume").returncode == 0
            wait_until(lambda: rollout(blue).phase == "finished", "the new release is in force", 90)
            await ask_until(customer, log, ("green", "agents-new"))
            other = await stack.enter_async_context(Customer(blue.url))
            await other.start()
            await other.ask("m1", QUESTION)
            await ask_until(other, log, ("green", "agents-new"))
            assert [decision.action for decision in rollout(blue).decisions] == [
                *("started", "raised", "paused", "resumed", "finishing", "finished"),
            ]
            back = run_cli(blue, "release", "roll-out", "--to", "blue", *PLAN, "--shares", "100", "--hold", "0s")
            assert back.returncode == 0, back.stderr
            wait_until(lambda: rollout(blue).in_force == "blue", "the former release is in force again", 60)
            await ask_until(customer, log, ("blue", "agents-"))
