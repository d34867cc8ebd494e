"""The gateway masks personal data for providers that are not trusted, and answers with the data itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web
from trunkline_llm_gateway.application import detection_cache
from trunkline_llm_gateway.core.config import ConfigError, RouteConfig, parse_config
from trunkline_llm_gateway.core.personal_data.detection import find_personal_data
from trunkline_llm_gateway.core.personal_data.spans import Span
from trunkline_protocols.completion import Complete, Completed, ToolSpec
from trunkline_protocols.context import Utterance
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from tests.llm_gateway.gateway_harness import (
    NEVER_OPENS,
    GatewayHarness,
    make_request,
    provider_config,
    running_gateway,
)
from tests.support.model_server import Fault, ModelServer, ToolCall as ServedCall, serve_model
from tests.support.personal_messages import PersonalMessage, masked_forms, personal_messages

CARD = "4111 1111 1111 1111"
EMAIL = "anna.lee@example.com"
ECHO = ("Card ", "[ca", "rd_1", "] and", " [email", "_1].")
ANSWER = f"Card {CARD} and {EMAIL}."
REQUEST = make_request(text=f"My card {CARD}, my mail {EMAIL}", locale="en-US")
TOOL = ToolSpec(name="refund", description="Refund", parameters={"type": "object"})


@asynccontextmanager
async def gateway_to(server: ModelServer, **changes: Any) -> AsyncIterator[GatewayHarness]:
    """Run a gateway over a server."""
    async with serve_model(server), running_gateway(provider_config("remote", server.url, **changes)) as harness:
        yield harness


def sent(server: ModelServer) -> str:
    """Return everything that a server has received."""
    return json.dumps(server.requests, ensure_ascii=False)


async def test_provider_gets_tokens_and_the_customer_its_data() -> None:
    """In the deltas, whose pieces split the tokens, and in the finished text."""
    server = ModelServer(pieces=ECHO)
    async with gateway_to(server) as harness:
        completed = await harness.complete(REQUEST)
    assert completed.text == harness.displayed() == ANSWER
    assert server.requests[0]["messages"][-1]["content"] == "My card [card_1], my mail [email_1]"
    assert CARD not in sent(server)
    assert EMAIL not in sent(server)


async def test_trusted_provider_gets_the_texts_as_they_are() -> None:
    """And its answer is left alone: nothing in it is a token."""
    server = ModelServer(pieces=ECHO)
    async with gateway_to(server, trusted=True) as harness:
        completed = await harness.complete(REQUEST)
    assert completed.text == "Card [card_1] and [email_1]."
    assert server.requests[0]["messages"][-1]["content"] == REQUEST.text


async def test_built_in_provider_quotes_the_data() -> None:
    """It runs in the process, and is what answers if no model can."""
    async with gateway_to(ModelServer(always=Fault("no key"))) as harness:
        passage = Passage(document="d", title="Returns", text=f"Send refunds of cards to {EMAIL}.", score=1.0)
        completed = await harness.complete(make_request(text="Send refunds of cards?", passages=[passage]))
    assert EMAIL in completed.text


async def test_continuation_by_an_untrusted_provider_gets_tokens() -> None:
    """The trusted one fails in the middle of its text; what it has written is masked too, and continued."""
    first = ModelServer(pieces=("Card ", f"{CARD} ", "and ", f"{EMAIL}."), always=Fault("cut", after=3))
    second = ModelServer(pieces=("Card ", "[card_1] and ", "[ema", "il_1]."))
    async with serve_model(first), serve_model(second):
        providers = (
            provider_config("own", first.url, trusted=True),
            provider_config("other", second.url, continues="prefill"),
        )
        async with running_gateway(*providers, policy=NEVER_OPENS) as harness:
            completed = await harness.complete(REQUEST)
    assert completed.text == harness.displayed() == ANSWER
    assert [attempt.provider for attempt in completed.attempts] == ["own", "other"]
    assert second.requests[0]["messages"][-1] == {"role": "assistant", "content": "Card [card_1] and"}
    assert CARD not in sent(second)
    assert CARD in sent(first)


async def test_begun_token_of_a_failed_attempt_is_not_shown() -> None:
    """The next provider continues before it."""
    first = ModelServer(pieces=("Card [ca", "rd_1] and"), always=Fault("cut", after=1))
    second = ModelServer(pieces=("Card ", "[card_1] and ", "[ema", "il_1]."))
    async with serve_model(first), serve_model(second):
        providers = [
            provider_config(name, each.url, continues="prefill") for name, each in (("a", first), ("b", second))
        ]
        async with running_gateway(*providers, policy=NEVER_OPENS) as harness:
            completed = await harness.complete(REQUEST)
    assert completed.text == harness.displayed() == ANSWER
    assert second.requests[0]["messages"][-1]["content"] == "Card"


async def test_tools_get_the_data_and_their_results_are_masked() -> None:
    """Arguments and results of earlier rounds too; an equal value keeps its token."""
    server = ModelServer(tool_calls=lambda _: [ServedCall("refund", '{"card": "[card_1]", "to": "[email_1]"}')])
    step = ToolStep(
        calls=[ToolCall(id="1", name="refund", arguments=f'{{"card": "{CARD}"}}')],
        outcomes=[ToolOutcome(id="1", text=f"Confirmation goes to {EMAIL} and bob@example.com")],
    )
    async with gateway_to(server) as harness:
        completed = await harness.complete(msgspec.structs.replace(REQUEST, tools=[TOOL], tool_steps=[step]))
    assert json.loads(completed.tool_calls[0].arguments) == {"card": CARD, "to": EMAIL}
    *_, call, outcome = server.requests[0]["messages"]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"card": "[card_1]"}
    assert outcome["content"] == "Confirmation goes to [email_1] and [email_2]"


async def test_statement_with_restored_data_is_cited() -> None:
    """Citations are checked in the text that the customer sees."""
    passage = Passage(document="d", title="Contact", text=f"Complaints about a card go to {EMAIL}.", score=1.0)
    server = ModelServer(pieces=("Complaints about a card go to ", "[email_1] [1]."))
    async with gateway_to(server) as harness:
        completed = await harness.complete(make_request(text="Where do complaints go?", passages=[passage]))
    assert completed.text == f"Complaints about a card go to {EMAIL} [1]."
    assert [(each.document, each.quote) for each in completed.citations] == [("d", passage.text)]


async def test_coalesced_summaries_of_two_customers_are_not_mixed() -> None:
    """Their masked prompts are equal, their data is not."""
    server = ModelServer(pieces=("Card ", "[card_1]."), first_token_s=0.05)
    cards = [CARD, "5555 5555 5555 4444"]

    def summary(card: str) -> Complete:
        text = f"Customer: my card is {card}"
        return make_request(purpose="summary", temperature=0.0, stream_to=None, passages=[], text=text)

    async with gateway_to(server) as harness:
        replies = await asyncio.gather(*(harness.complete(summary(card)) for card in [*cards, *cards]))
    assert [reply.text for reply in replies] == [f"Card {card}." for card in [*cards, *cards]]
    assert len(server.requests) == 2
    assert server.requests[0]["messages"] == server.requests[1]["messages"]
    assert not any(card in sent(server) for card in cards)


@dataclass
class SecondServer(ModelServer):
    """Answers when another server has its request."""

    first: ModelServer = field(default_factory=ModelServer)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        await self.first.arrived.wait()
        return await super().complete(request)


async def test_each_attempt_of_a_hedged_pair_has_its_own_tokens() -> None:
    """The slow one is not trusted, the winner is, and the other way round."""
    for trusted in (False, True):
        slow = ModelServer(always=Fault("hang"))
        fast = SecondServer(pieces=ECHO if trusted else (ANSWER,), first=slow)
        async with serve_model(slow), serve_model(fast):
            providers = (
                provider_config("slow", slow.url, trusted=trusted),
                provider_config("fast", fast.url, trusted=not trusted),
            )
            route = RouteConfig(name="default", providers=["slow", "fast"], hedge_after_ms=10)
            async with running_gateway(*providers, route=route) as harness:
                completed = await harness.complete(REQUEST)
        assert (completed.provider, completed.text) == ("fast", ANSWER)
        assert (CARD in sent(slow), CARD in sent(fast)) == (trusted, not trusted)


async def test_concurrent_customers_get_their_own_data() -> None:
    """Every request has the same tokens and other data."""
    server = ModelServer(pieces=ECHO)
    async with gateway_to(server) as harness:

        async def ask(number: int) -> Completed:
            text = f"My card {CARD}, my mail customer-{number}@example.com"
            return await harness.complete(make_request(turn=f"c{number}-1", text=text))

        replies = await asyncio.gather(*(ask(number) for number in range(50)))
    expected = [f"Card {CARD} and customer-{number}@example.com." for number in range(50)]
    assert [reply.text for reply in replies] == expected
    assert [harness.displayed(f"c{number}-1") for number in range(50)] == expected


@pytest.mark.parametrize("in_transcript", [False, True])
async def test_long_text_is_searched_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, *, in_transcript: bool
) -> None:
    """A message of nothing but digits takes a tenth of a second, in which the deltas of all others would wait."""
    threads: list[threading.Thread] = []

    def find(text: str, countries: Sequence[str]) -> list[Span]:
        threads.append(threading.current_thread())
        return find_personal_data(text, countries)

    monkeypatch.setattr(detection_cache, "find_personal_data", find)
    long = f"My card {CARD}" + " 4 1 2" * 200
    earlier = [Utterance(role="customer", text=long)] if in_transcript else []
    text = f"My card {CARD}" if in_transcript else long
    async with gateway_to(ModelServer(pieces=ECHO[:3])) as harness:
        await harness.complete(make_request(turn="c-1", text=text, transcript=earlier))
        assert threading.main_thread() not in threads
        searched = len(threads)
        await harness.complete(make_request(turn="c-2", text=text, transcript=earlier))
    assert len(threads) == searched


class EchoServer(ModelServer):
    """Answers with the customer's message, three characters at a time."""

    def _continuation(self, body: dict[str, Any]) -> Sequence[str]:
        text = body["messages"][-1]["content"]
        return [text[start : start + 3] for start in range(0, len(text), 3)]


async def test_thousand_messages_with_personal_data() -> None:
    """No card, account or address and at most 1 % of the telephone numbers reach the provider, but every customer."""
    messages = list(personal_messages(1_000, seed=11))
    server = EchoServer()
    leaked: Counter[str] = Counter()
    async with gateway_to(server) as harness:

        async def ask(number: int, message: PersonalMessage) -> str:
            request = make_request(turn=f"c{number}-1", text=message.text, locale=message.locale, passages=[])
            return (await harness.complete(request)).text

        for start in range(0, len(messages), 50):
            group = messages[start : start + 50]
            answers = await asyncio.gather(*(ask(start + number, each) for number, each in enumerate(group)))
            assert answers == [message.text for message in group]
            received = {request["messages"][-1]["content"] for request in server.requests[start:]}
            leaked.update(each.kind for each in group if not received & set(masked_forms(each)))
    print(leaked)
    assert {harness.displayed(f"c{number}-1") == message.text for number, message in enumerate(messages)} == {True}
    assert set(leaked) <= {"international phone", "national phone"}
    assert leaked.total() <= 4


@pytest.mark.parametrize("locale", ["de-DE", ""])
async def test_national_numbers_follow_the_locale_and_the_configured_countries(locale: str) -> None:
    server = ModelServer()
    utterance = Utterance(role="customer", text="Meine Nummer ist 030 901820")
    async with serve_model(server):
        config = provider_config("remote", server.url)
        for countries, is_masked in (([], bool(locale)), (["DE"], True)):
            async with running_gateway(config, countries=countries) as harness:
                await harness.complete(make_request(locale=locale, transcript=[utterance]))
            text = server.requests[-1]["messages"][1]["content"]
            assert text == ("Meine Nummer ist [phone_1]" if is_masked else utterance.text)


def test_unknown_country_is_refused() -> None:
    text = 'countries = ["DE", "Germany"]\n[[provider]]\nname = "a"\nkind = "extractive"\n'
    with pytest.raises(ConfigError, match=r"f\.toml: countries\[1\]: unknown country 'Germany'"):
        parse_config(text, "f.toml")
