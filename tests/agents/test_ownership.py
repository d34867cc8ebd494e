"""Who owns a conversation over its turns: routed by triage, moved by its topic, and not thrown to and fro."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle, islice, pairwise
from pathlib import Path

import pytest
from trunkline_agents.application.consultation_client import ConsultationClient
from trunkline_agents.application.handoff_summariser import HandoffSummariser
from trunkline_agents.application.routing import FleetRouting
from trunkline_agents.application.tool_loop import ToolLoop
from trunkline_agents.application.turn_worker import Stopwatch, TurnWorker
from trunkline_agents.core.routing.router import Router
from trunkline_agents.core.routing.training import train
from trunkline_chassis.fleet_folder import load_fleet
from trunkline_protocols.context import Context, Utterance
from trunkline_protocols.ids import Instance
from trunkline_protocols.turn import Answered, AnswerTurn, HandOff, Routed, TurnResult

from tests.agents.colleagues import FakeColleagues, order
from tests.agents.test_summarising import EmptyBoard, NoJournal

ME = Instance("agents-1")
FLEET = load_fleet(Path(__file__).parents[2] / "fleet")
EXPERTISE = FleetRouting(1, FLEET, Router(FLEET, train(FLEET, "test")))
STRANGE = "qwx zzyv blorf mnurk"
REFUND = "I was charged twice for my order, can I get a refund?"
BROKEN = "my router keeps dropping the wifi connection every night"


@dataclass
class Talk:
    """A conversation, led as the conversation service leads it: a result that moves it is answered by the next hop."""

    colleagues: FakeColleagues = field(default_factory=FakeColleagues)
    transcript: list[Utterance] = field(default_factory=list)
    owner: str = "triage"
    owners: list[str] = field(default_factory=list)

    async def say(self, text: str) -> str:
        """Say something; return who answered."""
        result = await self._work(text, hop=0)
        if isinstance(result, (Routed, HandOff)):
            self.owner = result.to
            result = await self._work(text, hop=1)
        assert isinstance(result, Answered)
        self.transcript += [
            Utterance(role="customer", text=text),
            Utterance(role="agent", text=result.text, specialty=self.owner),
        ]
        self.owners.append(self.owner)
        return self.owner

    async def _work(self, text: str, *, hop: int) -> TurnResult:
        context = Context(customer="a", tenant="shop", region="eu", locale="en", transcript=list(self.transcript))
        turn: AnswerTurn = order(text, specialty=self.owner, hop=hop, context=context)
        worker = TurnWorker(
            instance=ME,
            specialty=self.owner,
            colleagues=self.colleagues,
            consulting=ConsultationClient(self.colleagues, ME, silence_s=0.01, longest_s=0.01),
            toolbox=ToolLoop(self.colleagues, NoJournal(), {}),
            board=EmptyBoard(),
            summarising=HandoffSummariser(self.colleagues, longest_s=0.0),
        )
        return await worker.result(turn, EXPERTISE, Stopwatch(0.0))


async def test_clear_message_is_routed_and_its_specialty_stays_the_owner() -> None:
    """By triage once; what follows goes to the owner."""
    talk = Talk()
    assert [await talk.say(text) for text in (REFUND, "when will the refund be on my card?")] == ["billing"] * 2


async def test_strange_message_is_greeted_asked_back_once_and_given_to_a_person() -> None:
    """The three bands, with what the fleet says in each."""
    talk = Talk()
    assert [await talk.say(f"{STRANGE} {number}") for number in range(3)] == ["triage", "triage", "escalation"]
    said = [asked.abstain for asked in talk.colleagues.completions]
    assert said[:2] == [FLEET.company.greeting, FLEET.company.clarify]


async def test_clear_answer_to_the_question_back_is_routed() -> None:
    """Asking back is worth it."""
    talk = Talk()
    assert [await talk.say(text) for text in (STRANGE, BROKEN)] == ["triage", "technical"]


@pytest.mark.parametrize("short", ["wifi router offline", "ok", "yes please", "4711"])
async def test_message_of_three_words_stays_with_its_owner(short: str) -> None:
    """Whatever its words are like."""
    talk = Talk()
    assert [await talk.say(text) for text in (REFUND, short)] == ["billing", "billing"]


async def test_change_of_topic_hands_the_conversation_over() -> None:
    """And the new owner keeps it."""
    talk = Talk()
    said = (REFUND, BROKEN, "the wifi is slow in the bedroom too")
    assert [await talk.say(text) for text in said] == ["billing", "technical", "technical"]


@pytest.mark.parametrize("first", ["billing", "technical"])
async def test_messages_about_two_fields_do_not_throw_the_conversation_to_and_fro(first: str) -> None:
    """ConversationExample in either order, again and again: at most one change of owner, whoever has it first."""
    for refund, broken in zip(
        *([text for agent in FLEET.of(name)[:1] for text in agent.examples][:6] for name in ("billing", "technical")),
        strict=True,
    ):
        talk = Talk(owner=first)
        for text in islice(cycle((f"{refund} {broken}", f"{broken} {refund}")), 6):
            await talk.say(text)
        assert sum(before != after for before, after in pairwise([first, *talk.owners])) <= 1, (refund, broken)
