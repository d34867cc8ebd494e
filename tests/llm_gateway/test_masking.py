"""Masking of personal data: tokens in a request, and the data back in an answer, however it is split."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from trunkline_llm_gateway.application.detection_cache import DetectionCache
from trunkline_llm_gateway.core.personal_data.detection import find_personal_data
from trunkline_llm_gateway.core.personal_data.requests import RULE, mask_request
from trunkline_llm_gateway.core.personal_data.spans import Span
from trunkline_llm_gateway.core.personal_data.tokens import Masker, StreamUnmasker, unmask, unmask_json
from trunkline_protocols.completion import AdviceNote, Complete, ToolSpec
from trunkline_protocols.context import Utterance
from trunkline_protocols.decoding import encode
from trunkline_protocols.knowledge import Passage
from trunkline_protocols.tool_steps import ToolCall, ToolOutcome, ToolStep

from tests.llm_gateway.gateway_harness import make_request

CARD = "4111 1111 1111 1111"
IBAN = "DE89 3704 0044 0532 0130 00"
EMAIL = "anna.lee@example.com"
PHONE = "(415) 555-2671"


def find_us(text: str) -> list[Span]:
    """Return the personal data of a text from the United States."""
    return find_personal_data(text, ("US",))


_FRAGMENTS = [CARD, "5555555555554444", IBAN, EMAIL, PHONE, "+49 30 901820", "536-90-4399", "[card_1]", "[email_1]"]
_FRAGMENTS += [
    "[CARD_2]",
    r"[phone\_1]",
    "[card_",
    "[",
    "]",
    "\\",
    "_",
    "1",
    "[[",
    "[id",
    " ",
    "@",
    "\n",
    "\uff14\uff11",
]
TEXTS = st.lists(st.sampled_from(_FRAGMENTS) | st.text(max_size=6), max_size=12).map("".join)


def streamed(pieces: list[str], unmasker: StreamUnmasker) -> str:
    """Return the whole text of a stream."""
    return "".join([*(unmasker.add(piece) for piece in pieces), unmasker.end()])


def split(text: str, cuts: list[int]) -> list[str]:
    """Cut a text at these places."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(places)]


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(TEXTS, TEXTS, st.lists(st.integers(0, 10_000), max_size=30))
def test_unmasking_a_masked_text_restores_it_in_any_splitting(text: str, other: str, cuts: list[int]) -> None:
    """Tokens that the customer wrote stand for nothing, and stay."""
    masker = Masker(find_us, [text, other])
    masked = masker.mask(text)
    masker.mask(other)
    assert unmask(masked, masker.values) == text
    assert streamed(split(masked, cuts), StreamUnmasker(masker.values)) == text
    assert streamed(list(masked), StreamUnmasker(masker.values)) == text


@unhurried
@given(st.recursive(TEXTS | st.integers() | st.none(), lambda each: st.lists(each) | st.dictionaries(TEXTS, each)))
def test_masked_arguments_are_json_and_restore_their_strings(arguments: Any) -> None:
    """A number that is personal data becomes a string; everything else comes back."""
    text = json.dumps(arguments, ensure_ascii=False)
    masker = Masker(find_us, [text])
    masked = masker.mask_json(text)
    json.loads(masked)
    if isinstance(arguments, str):
        assert json.loads(unmask_json(masked, masker.values)) == arguments


@pytest.mark.parametrize("written", ["[card_1]", "[Card_1]", "[CARD_1]", r"[card\_1]"])
def test_token_is_restored_as_models_write_it(written: str) -> None:
    """With capitals, or with the backslash of Markdown; split anywhere."""
    masker = Masker(find_us, [CARD])
    assert masker.mask(f"{CARD}, again {CARD}") == "[card_1], again [card_1]"
    assert unmask(f"Your {written}.", masker.values) == f"Your {CARD}."
    assert streamed(list(f"Your {written}."), StreamUnmasker(masker.values)) == f"Your {CARD}."


def test_stream_holds_back_only_what_may_be_a_token() -> None:
    """Bounded by the longest token, also if a text seems to begin one without end."""
    unmasker = StreamUnmasker({"[card_1]": CARD})
    assert unmasker.add("See [1] and [") == "See [1] and "
    assert unmasker.add("2]. Card [car") == "[2]. Card "
    assert unmasker.add("d_2], [card_1") == "[card_2], "
    assert unmasker.add("]!") == f"{CARD}!"
    assert unmasker.add("[" + "\\" * 20) == "[" + "\\" * 20
    assert unmasker.end() == ""
    assert StreamUnmasker({}).add("a [") == "a ["


def test_typed_token_gets_no_data() -> None:
    """A customer who writes `[card_1]` does not learn which card another text names, nor break its own."""
    masked = mask_request(make_request(text=f"[card_1] {CARD} [Email_1]", summary=EMAIL), "", find_us)
    assert masked.request.text == "[card_1] [card_2] [Email_1]"
    assert masked.values == {"[card_2]": CARD, "[email_2]": EMAIL}
    assert unmask("[card_1] [card_2] [Email_1]", masked.values) == f"[card_1] {CARD} [Email_1]"


def full_request() -> Complete:
    """Return a request with personal data in each of its texts."""
    everything = f"{CARD}, {IBAN}, {EMAIL}, {PHONE}"
    return make_request(
        text=everything,
        transcript=[Utterance(role="customer", text=f"I am {EMAIL}"), Utterance(role="agent", text=everything)],
        summary=everything,
        passages=[Passage(document="d", title=EMAIL, text=everything, score=1.0)],
        advice=[AdviceNote(title="Billing", text=everything)],
        facts={"email": EMAIL, "card": 4111111111111111, "orders": {"A-1": PHONE}, "vip": True, "share": 0.5},
        earlier=[Utterance(role="customer", text=everything)],
        notices=[f"Write to {EMAIL}"],
        abstain=f"Call {PHONE}.",
        tools=[ToolSpec(name="refund", description="Refund", parameters={})],
        tool_steps=[
            ToolStep(
                calls=[
                    ToolCall(id="1", name="refund", arguments=f'{{"to": "{IBAN}", "card": 4111111111111111, "n": 2}}')
                ],
                outcomes=[ToolOutcome(id="1", text=f'{{"email": "{EMAIL}"}}')],
                text=f"One moment, {EMAIL}",
            )
        ],
    )


def test_no_text_of_a_request_keeps_personal_data() -> None:
    """An equal value has one token in all of them; arguments stay JSON; the operator's instructions get the rule."""
    request = full_request()
    masked = mask_request(request, f"I send it to {EMAIL}", find_us)
    sent = encode(masked.request).decode() + masked.prefix
    for value in (CARD, "4111111111111111", IBAN, EMAIL, PHONE):
        assert value not in sent
    assert masked.request.transcript[0].text == "I am [email_1]"
    assert masked.prefix == "I send it to [email_1]"
    arguments = json.loads(masked.request.tool_steps[0].calls[0].arguments)
    assert arguments == {"to": "[iban_1]", "card": "[card_2]", "n": 2}
    assert masked.request.facts["vip"] is True
    assert masked.request.instructions == f"{request.instructions}\n\n{RULE}"
    assert unmask(masked.request.text, masked.values) == request.text


def test_every_text_field_of_a_request_is_masked_or_known_to_be_harmless() -> None:
    """A field that is added to `Complete` has to be considered here."""
    harmless = {"instructions", "tools", "stream_to", "max_tokens", "deadline_at", "request_id", "region", "tenant"}
    harmless |= {"locale", "route", "provider", "model", "temperature", "purpose", "timeout_s"}
    unsent = {"speaker", "parts", "corrected", "intent"}
    request = full_request()
    masked = mask_request(request, "", find_us).request
    changed = {name for name in Complete.__struct_fields__ if getattr(request, name) != getattr(masked, name)}
    assert changed - {"instructions"} == set(Complete.__struct_fields__) - harmless - unsent


def test_request_without_personal_data_is_unchanged() -> None:
    """Its prompt is the same as before, so that caches of prompts keep working."""
    request = make_request()
    assert mask_request(request, "Refunds", find_us).request is request


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"to": "[email_1]"}', {"to": 'a"b@example.com'}),
        (r'{"to": "[email\\_1]", "x": "[card_9]"}', {"to": 'a"b@example.com', "x": "[card_9]"}),
    ],
)
def test_restored_arguments_stay_json(arguments: str, expected: dict[str, str]) -> None:
    """The data is escaped as JSON needs it."""
    assert json.loads(unmask_json(arguments, {"[email_1]": 'a"b@example.com'})) == expected


def test_cache_finds_what_a_search_finds() -> None:
    """For the countries of the request: a text may be known for others."""
    cache = DetectionCache()
    for text in (PHONE, "no data", f"{CARD} {EMAIL}", "\ud83d 4155552671"):
        for countries in (("US",), (), ("US",), ("DE",)):
            assert list(cache.find(text, countries)) == find_personal_data(text, countries)
