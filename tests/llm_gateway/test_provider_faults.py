"""Faults of a provider: the customer always sees one complete text."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from trunkline_llm_gateway.adapters.openai import OpenAI
from trunkline_llm_gateway.adapters.remote import RemoteProvider
from trunkline_llm_gateway.core.budgets import day_of
from trunkline_llm_gateway.core.config import ProviderConfig
from trunkline_llm_gateway.ports import Call, ProviderError
from trunkline_protocols.refusal import Refused

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
from tests.support.model_server import Fault, ModelServer, ProviderFaultKind, serve_model

FAULTS: dict[ProviderFaultKind, tuple[str, bool]] = {
    # fault: code of the attempt, and whether part of the text had been displayed
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
    """Serve the failing provider."""
    async with serve_model(ModelServer()) as server:
        yield server


@pytest.fixture
async def backup() -> AsyncIterator[ModelServer]:
    """Serve a healthy provider with a different text."""
    async with serve_model(ModelServer(pieces=["Five ", "days, ", "as a rule ", "[1]."])) as server:
        yield server


async def ignore(_: str) -> None:
    pass


@pytest.mark.parametrize("fault", FAULTS)
async def test_failed_answer_is_replaced_by_the_next_providers_answer(
    server: ModelServer, backup: ModelServer, fault: ProviderFaultKind
) -> None:
    """No part of the first text remains, and the attempts are recorded."""
    server.always = Fault(fault)
    code, was_displayed = FAULTS[fault]
    failing = provider_config("primary", server.url, **(SHORT_TIMEOUTS if code == "timeout" else {}))
    async with running_gateway(failing, provider_config("backup", backup.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == backup.text
        assert harness.replacements() == was_displayed
        assert [(attempt.provider, attempt.outcome) for attempt in reply.attempts] == [
            ("primary", code),
            ("backup", "answered"),
        ]
        assert (reply.attempts[0].characters > 0) == was_displayed
        assert reply.degraded == ""


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault_is_an_error_and_never_a_short_answer(server: ModelServer, fault: ProviderFaultKind) -> None:
    """A stream that ends early is no answer; only transient faults are retryable."""
    server.always = Fault(fault)
    timeouts = SHORT_TIMEOUTS if FAULTS[fault][0] == "timeout" else {}
    config = provider_config("primary", server.url, **timeouts)
    remote = RemoteProvider(config, "secret-key", OpenAI(config))
    if fault == "empty":
        # The provider client, not the adapter, rejects an answer without text.
        await remote.complete(Call(make_request(), "small"), ignore)
    else:
        with pytest.raises(ProviderError) as failure:
            await remote.complete(Call(make_request(), "small"), ignore)
        assert failure.value.code == FAULTS[fault][0]
        assert failure.value.retryable == (fault not in {"no key", "bad request"})
        assert "secret-key" not in str(failure.value)
    await remote.close()


async def test_unreachable_provider_is_replaced_by_the_fallback() -> None:
    """The built-in provider answers with its notice, the reason and citations."""
    async with running_gateway(provider_config("gone", "http://127.0.0.1:1/v1")) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert (reply.provider, reply.degraded) == ("extractive", "connect")
        assert [citation.quote for citation in reply.citations] == ["Refunds take 5 days."]


async def test_transient_fault_is_retried_at_the_same_provider(server: ModelServer) -> None:
    """A single provider that fails once still completes the text."""
    server.faults.append(Fault("server error"))
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == MODEL_TEXT
        assert [attempt.outcome for attempt in reply.attempts] == ["status", "answered"]


async def test_route_with_the_built_in_provider_retries_its_models_first(server: ModelServer) -> None:
    """A retry is better than a quotation; a quotation as fallback is marked as degraded."""
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


async def test_retry_after_is_respected(server: ModelServer, backup: ModelServer) -> None:
    """After a Retry-After of a minute no further request is sent, although one fault alone opens no breaker."""
    server.always = Fault("too many requests", retry_after="60")
    async with running_gateway(
        provider_config("primary", server.url), provider_config("backup", backup.url)
    ) as harness:
        for _ in range(3):
            assert (await harness.complete()).text == backup.text
        assert len(server.requests) == 1
        assert harness.registry.states()["primary/small"] == "open"


async def test_answer_over_the_total_timeout_is_replaced(server: ModelServer, backup: ModelServer) -> None:
    """The total timeout applies while pieces keep arriving."""
    server.always = Fault("stall")
    slow = provider_config("primary", server.url, total_timeout_s=0.2)
    async with running_gateway(slow, provider_config("backup", backup.url)) as harness:
        reply = await harness.complete()
        assert (reply.text, reply.attempts[0].outcome) == (backup.text, "timeout")


async def test_missing_usage_is_estimated(server: ModelServer) -> None:
    """For the prompt and for the answer: a budget must notice a server that reports none."""
    server.always = Fault("no usage")
    paid = provider_config("primary", server.url, input_cost_per_million=1e6, output_cost_per_million=1e6)
    async with running_gateway(paid) as harness:
        usage = (await harness.complete()).usage
        assert usage.estimated
        assert usage.output_tokens == len(MODEL_TEXT) / 4
        assert usage.input_tokens > 100
        assert harness.spending.total("", day_of(time.time())) == usage.input_tokens + usage.output_tokens


async def test_unstreamed_answer_is_accepted(server: ModelServer) -> None:
    """Its text arrives as one piece."""
    server.always = Fault("not streamed")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.complete()
        assert harness.displayed() == reply.text == MODEL_TEXT
        assert reply.usage.output_tokens == 100


async def test_built_in_provider_answers_at_once_if_all_breakers_are_open(server: ModelServer) -> None:
    """No request is sent."""
    server.always = Fault("server error")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        while harness.registry.states().get("primary/small") != "open":
            await harness.complete()
        before = len(server.requests)
        harness.deltas.clear()
        reply = await harness.complete()
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert (reply.degraded, len(server.requests)) == ("open", before)


async def test_stream_that_breaks_late_opens_the_breaker(server: ModelServer, backup: ModelServer) -> None:
    """The outcome is recorded at the end: each of these streams opened normally and contained text."""
    server.always = Fault("cut", after=3)
    async with running_gateway(
        provider_config("primary", server.url), provider_config("backup", backup.url)
    ) as harness:
        for _ in range(5):
            await harness.complete()
        assert harness.registry.states()["primary/small"] == "open"


async def test_fallback_answers_at_the_deadline(server: ModelServer) -> None:
    """A model that hangs until the deadline leaves time for the fallback."""
    server.always = Fault("hang")
    async with running_gateway(provider_config("primary", server.url, first_token_timeout_s=60.0)) as harness:
        reply = await harness.complete(make_request(deadline_at=deadline_in(0.8)))
        assert harness.displayed() == reply.text == FALLBACK_TEXT
        assert reply.degraded == "deadline"


@pytest.mark.parametrize("difference_s", [-3_600, 3_600])
async def test_requester_with_a_wrong_clock_is_answered_within_its_timeout(
    server: ModelServer, difference_s: float
) -> None:
    """A timeout is a duration: the deadline of another host's clock may be over, or an hour away."""
    async with running_gateway(provider_config("primary", server.url, first_token_timeout_s=60.0)) as harness:
        request = make_request(deadline_at=deadline_in(difference_s), timeout_s=30)
        assert (await harness.complete(request)).degraded == ""
        server.always = Fault("hang")
        request = make_request(deadline_at=deadline_in(difference_s), timeout_s=0.8)
        assert (await harness.complete(request)).degraded == "deadline"


async def test_named_provider_is_not_replaced_by_the_fallback(server: ModelServer) -> None:
    """A caller that tests one provider needs its failure."""
    server.always = Fault("bad request")
    async with running_gateway(provider_config("primary", server.url)) as harness:
        reply = await harness.gateway.complete(make_request(provider="primary"))
        assert isinstance(reply, Refused)
        assert (reply.code, reply.retryable) == ("request", False)


async def test_thousand_randomly_cut_streams_are_completed() -> None:
    """Each is cut at least once, at any position; continued or replaced, none loses or repeats a character."""
    random_ = random.Random(7)  # noqa: S311 - cuts, not secrets
    pieces = _pieces(random_, 24)

    def any_position(pieces: Sequence[str]) -> int:
        return random_.randint(0, len(pieces))

    async with (
        serve_model(ModelServer(pieces=pieces, cut=any_position)) as first,
        serve_model(ModelServer(pieces=pieces, cut=lambda left: random_.choice((-1, any_position(left))))) as second,
        serve_model(ModelServer(pieces=pieces)) as third,
        serve_model(ModelServer(pieces=_pieces(random_, 18))) as other,
    ):
        limits: dict[str, Any] = {"max_concurrency": 500}
        cut_twice = (
            provider_config("first", first.url, **limits),
            provider_config("second", second.url, continues="prefill", **limits),
        )
        continuing = provider_config("third", third.url, continues="prefill", **limits)
        replacing = provider_config("other", other.url, **limits)
        for last, whole in ((continuing, third.text), (replacing, other.text)):
            async with running_gateway(*cut_twice, last, policy=NEVER_OPENS) as harness:
                texts = await _completed_texts(harness, 500)
                assert set(texts) <= {third.text, whole}
                assert whole in texts
                for number, text in enumerate(texts):
                    assert harness.displayed(f"c1-{number}") == text
        assert first.cuts == 1_000
        assert second.cuts > 300


async def _completed_texts(harness: GatewayHarness, count: int) -> list[str]:
    """Complete `count` requests, 40 at a time."""
    permits = asyncio.Semaphore(40)

    async def complete(number: int) -> str:
        async with permits:
            return (await harness.complete(make_request(f"c1-{number}"))).text

    return await asyncio.gather(*(complete(number) for number in range(count)))


def _pieces(random_: random.Random, count: int) -> list[str]:
    """Return random words, cut into pieces at any position, including white space."""
    text = "".join(
        "".join(random_.choices("abcdefghij", k=random_.randint(1, 9))) + random_.choice([" ", " ", "  ", "\n\n", ". "])
        for _ in range(count)
    ).rstrip()
    cuts = sorted(random_.sample(range(1, len(text)), count - 1))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
