"""Every fault of a provider, and what the customer sees of it: one whole text, whatever happened before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.ports import Call, ProviderError
from trunkline_protocols.knowledge import Refused

from tests.llm_gateway.gateway_harness import (
    FALLBACK_TEXT,
    MODEL_TEXT,
    NEVER_OPENS,
    SHORT_TIMEOUTS,
    GatewayHarness,
    deadline_in,
    make_request,
    provider_config,
    running_gateway,
)
from tests.support.model_server import Fault, ProviderFaultKind, ModelServer, serve_model

FAULTS: dict[ProviderFaultKind, tuple[str, bool]] = {
    # fault: the code in the record, and whether some of the text had been shown
    "too many requests": ("status", False),
    "server error": ("status", False),
    "no key": ("status", False),
    "bad request": ("request", False),
    "hang": ("timeout", False),
    "wrong content type": ("malformed", False),
    "empty": ("empty", False),
    "stall": ("timeout", True),
    "cut": ("cut", True),
    "end early": ("cut", True),
    "malformed": ("malformed", True),
    "error event": ("status", True),
    "drip": ("timeout", True),
    "gigantic": ("malformed", True),
}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """The provider that fails."""
    async with serve_model(ModelServer()) as server:
        yield server


@pytest.fixture
async def backup() -> AsyncIterator[ModelServer]:
    """The provider that does not; it says the same in other words."""
    async with serve_model(ModelServer(pieces=["Five ", "days, ", "as a rule ", "[1]."])) as server:
        yield server


async def ignore(_: str) -> None:
    pass


@pytest.mark.parametrize("fault", FAULTS)
async def test_customer_of_a_failing_provider_sees_the_next_ones_whole_answer(
    server: ModelServer, backup: ModelServer, fault: ProviderFaultKind
) -> None:
    """Nothing of the first text stays, and the record says what happened."""
    server.always = Fault(fault)
    code, was_shown = FAULTS[fault]
    failing = provider_config("primary", server.url, **(SHORT_TIMEOUTS if code == "timeout" else {}))
    async with running_gateway(failing, provider_config("backup", backup.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == backup.text
        assert harness.replacements() == was_shown
        assert [(one.provider, one.outcome) for one in reply.attempts] == [("primary", code), ("backup", "answered")]
        assert (reply.attempts[0].characters > 0) == was_shown
        assert reply.degraded == ""


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_is_an_error_and_never_a_short_answer(server: ModelServer, fault: ProviderFaultKind) -> None:
    """A stream that ends early is no answer; only what may pass is worth another try."""
    server.always = Fault(fault)
    patience = SHORT_TIMEOUTS if FAULTS[fault][0] == "timeout" else {}
    config = provider_config("primary", server.url, **patience)
    one = RemoteProvider(config, "secret-key", OpenAI(config))
    if fault == "empty":
        # An answer without text is none, but that is for the gateway to say.
        await one.write(Call(make_request(), "small"), ignore)
    else:
        with pytest.raises(ProviderError) as failure:
            await one.write(Call(make_request(), "small"), ignore)
        assert failure.value.code == FAULTS[fault][0]
        assert failure.value.retryable == (fault not in {"no key", "bad request"})
        assert "secret-key" not in str(failure.value)
    await one.close()


async def test_customer_of_an_unreachable_provider_sees_the_quotation_and_why() -> None:
    """Nobody listens there: the built-in provider answers, says so, and cites."""
    async with running_gateway(provider_config("gone", "http://127.0.0.1:1/v1")) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert (reply.provider, reply.degraded) == ("extractive", "connect")
        assert [citation.quote for citation in reply.citations] == ["Refunds take 5 days."]


async def test_passing_fault_is_tried_again_by_the_same_provider(server: ModelServer) -> None:
    """A single provider that fails once still answers."""
    server.faults.append(Fault("server error"))
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == MODEL_TEXT
        assert [one.outcome for one in reply.attempts] == ["status", "answered"]


async def test_route_that_names_the_built_in_provider_tries_its_models_first(server: ModelServer) -> None:
    """A quotation is not better than a second try; and when it must be, it is told from a model's answer."""
    server.faults.append(Fault("server error"))
    quotes = ProviderConfig(name="quotes", kind="extractive")
    async with running_gateway(provider_config("primary", server.url), quotes) as harness:
        assert (await harness.complete()).text == MODEL_TEXT
        server.always = Fault("bad request")
        reply = await harness.complete()
        assert (reply.text, reply.provider, reply.degraded) == (FALLBACK_TEXT, "quotes", "request")
    async with running_gateway(quotes, provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.provider, reply.degraded) == ("Refunds take 5 days.", "quotes", "")


async def test_provider_that_asks_to_be_left_alone_is_left_alone(server: ModelServer, backup: ModelServer) -> None:
    """Retry-After of a minute: not one request more, although one fault alone opens no breaker."""
    server.always = Fault("too many requests", retry_after="60")
    async with running_gateway(
        provider_config("primary", server.url), provider_config("backup", backup.url)
    ) as harness:
        for _ in range(3):
            assert (await harness.complete()).text == backup.text
        assert len(server.requests) == 1
        assert harness.registry.states()["primary/small"] == "open"


async def test_answer_that_takes_too_long_in_all_is_replaced(server: ModelServer, backup: ModelServer) -> None:
    """The total time limit holds while words keep coming."""
    server.always = Fault("stall")
    slow = provider_config("primary", server.url, total_timeout_s=0.2)
    async with running_gateway(slow, provider_config("backup", backup.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.attempts[0].outcome) == (backup.text, "timeout")


async def test_missing_usage_is_counted_by_pieces(server: ModelServer) -> None:
    """Some servers do not report it."""
    server.always = Fault("no usage")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.usage.output_tokens) == (MODEL_TEXT, 4)


async def test_server_that_does_not_stream_is_understood(server: ModelServer) -> None:
    """Its answer comes whole."""
    server.always = Fault("not streamed")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == MODEL_TEXT
        assert reply.usage.output_tokens == 100


async def test_all_breakers_open_means_the_built_in_provider_answers_at_once(server: ModelServer) -> None:
    """And says so; no request goes out."""
    server.always = Fault("server error")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        while harness.registry.states().get("primary/small") != "open":
            await harness.complete()
        before = len(server.requests)
        harness.deltas.clear()
        reply = await harness.complete()
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert (reply.degraded, len(server.requests)) == ("open", before)


async def test_stream_that_dies_late_opens_the_breaker(server: ModelServer, backup: ModelServer) -> None:
    """It is judged at its end: every one of these opened well and had text in it."""
    server.always = Fault("cut", after=3)
    async with running_gateway(
        provider_config("primary", server.url), provider_config("backup", backup.url)
    ) as harness:
        for _ in range(5):
            await harness.complete()
        assert harness.registry.states()["primary/small"] == "open"


async def test_deadline_brings_the_quotation_and_not_silence(server: ModelServer) -> None:
    """A model that hangs until the turn's end leaves time for an honest answer."""
    server.always = Fault("hang")
    async with running_gateway(provider_config("primary", server.url, first_token_timeout_s=60.0)) as harness:
        reply = await harness.complete(make_request(deadline_at=deadline_in(0.8)))
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert reply.degraded == "deadline"


async def test_provider_asked_for_by_name_is_not_replaced_by_a_quotation(server: ModelServer) -> None:
    """Who tries a provider wants to see it fail."""
    server.always = Fault("bad request")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.gateway.complete(make_request(provider="primary"))
        assert isinstance(reply, Refused)
        assert (reply.code, reply.retryable) == ("request", False)


async def test_thousand_streams_with_random_cuts_reach_their_customers_whole() -> None:
    """Each is cut at least once, at any place; none loses or repeats a character, by continuing and by replacing."""
    random_ = random.Random(7)  # noqa: S311 - cuts, not secrets
    pieces = _pieces(random_, 24)

    def anywhere(pieces: Sequence[str]) -> int:
        return random_.randint(0, len(pieces))

    async with (
        serve_model(ModelServer(pieces=pieces, cut=anywhere)) as first,
        serve_model(ModelServer(pieces=pieces, cut=lambda left: random_.choice((-1, anywhere(left))))) as second,
        serve_model(ModelServer(pieces=pieces)) as third,
        serve_model(ModelServer(pieces=_pieces(random_, 18))) as other,
    ):
        patience = {"max_concurrency": 500}
        cut_twice = (
            provider_config("first", first.url, **patience),
            provider_config("second", second.url, continues="prefill", **patience),
        )
        continuing = provider_config("third", third.url, continues="prefill", **patience)
        replacing = provider_config("other", other.url, **patience)
        for last, whole in ((continuing, third.text), (replacing, other.text)):
            async with running_gateway(*cut_twice, last, policy=NEVER_OPENS) as harness:
                texts = await _answers(gateway, 500)
                assert set(texts) <= {third.text, whole}
                assert whole in texts
                for number, text in enumerate(texts):
                    assert harness.displayed(f"c1-{number}") == text
        assert first.cuts == 1_000
        assert second.cuts > 300


async def _answers(gateway: GatewayHarness, count: int) -> list[str]:
    """Have so many orders written, some at a time."""
    places = asyncio.Semaphore(40)

    async def ask(number: int) -> str:
        async with places:
            return (await harness.complete(make_request(f"c1-{number}"))).text

    return await asyncio.gather(*(ask(number) for number in range(count)))


def _pieces(random_: random.Random, count: int) -> list[str]:
    """Words cut into pieces anywhere, also within and after white space."""
    text = "".join(
        "".join(random_.choices("abcdefghij", k=random_.randint(1, 9))) + random_.choice([" ", " ", "  ", "\n\n", ". "])
        for _ in range(count)
    ).rstrip()
    cuts = sorted(random_.sample(range(1, len(text)), count - 1))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
