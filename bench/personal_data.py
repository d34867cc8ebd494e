"""Masking of personal data: what is found in public conversations, what is missed, and what it costs.

    TRUNKLINE_DATA=DIR python -m bench.personal_data [--locale en] [--show]

`public`: messages of the public sets by file, and those with personal data by kind. Most of these hold real data, so
the figure is an upper bound of false alarms; `--show` prints them for review. `lookalikes`: generated orders, dates,
prices, versions and codes that are masked. `missed`: generated personal data that is not masked as a whole. `cost_us`:
CPU time per request of twelve utterances and five passages that were searched in the turn before, without personal data
and with some in every utterance; for the search of one new message with some; per streamed delta; and for the search of
a hostile message of 8,000 characters.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from trunkline_llm_gateway.application.detection_cache import DetectionCache
from trunkline_llm_gateway.core.personal_data.countries import countries_of
from trunkline_llm_gateway.core.personal_data.detection import find_personal_data
from trunkline_llm_gateway.core.personal_data.requests import mask_request
from trunkline_llm_gateway.core.personal_data.spans import Span
from trunkline_llm_gateway.core.personal_data.tokens import Masker, StreamUnmasker
from trunkline_protocols.completion import Complete
from trunkline_protocols.context import Utterance
from trunkline_protocols.knowledge import Passage

from tests.support.personal_messages import lookalike_messages, masked_forms, personal_messages

_GENERATED: Final = 10_000
_ROUNDS: Final = 300
_CONTEXT: Final = 60
"""Characters that `--show` prints around a datum."""
_SENTENCE: Final = "The parcel of 12 November with 2 filters for 19.99 EUR has not arrived, what can I do? "


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TRUNKLINE_DATA"), help="folder of public data")
    parser.add_argument("--locale", default="en", help="locale of the public conversations")
    parser.add_argument("--show", action="store_true", help="print every datum that is found in public conversations")
    options = parser.parse_args()
    countries = countries_of(options.locale, ())
    figures: dict[str, Any] = {}
    if options.data:
        figures["public"] = public_figures(Path(options.data), countries, show=options.show)
    figures |= {"lookalikes": lookalike_figures(), "missed": missed_figures(), "cost_us": costs_us()}
    print(json.dumps(figures, indent=2))


def public_figures(folder: Path, countries: Sequence[str], *, show: bool) -> dict[str, Any]:
    """Return the messages, and those with personal data by kind, of every file."""
    found: dict[str, Any] = {}
    for file in sorted([*folder.glob("replay/*.jsonl"), *folder.glob("routing/**/*.jsonl")]):
        messages = list(_messages(file))
        kinds: Counter[str] = Counter()
        for text in messages:
            spans = find_personal_data(text, countries)
            kinds.update({span.kind for span in spans})
            kinds["any"] += bool(spans)
            for span in spans if show else ():
                around = text[max(0, span.start - _CONTEXT) : span.end + _CONTEXT]
                print(f"{span.kind}\t{text[span.start : span.end]}\t{around!r}")
        found[str(file.relative_to(folder))] = {"messages": len(messages), **kinds}
    return found


def _messages(file: Path) -> Iterator[str]:
    """Yield the messages of a file: the turns of a conversation, or the text of a line."""
    for line in file.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        if "turns" in fields:
            yield from (turn["text"] for turn in fields["turns"])
        else:
            yield fields.get("text") or fields["conversation"]


def lookalike_figures() -> dict[str, int]:
    """Return the number of generated messages without personal data, and of those that are masked."""
    masked = [text for text, locale in lookalike_messages(_GENERATED, seed=5) if _masked(text, locale) != text]
    return {"messages": _GENERATED, "masked": len(masked)}


def missed_figures() -> dict[str, int]:
    """Return the number of generated data that is not masked as a whole, by kind."""
    missed: Counter[str] = Counter(messages=_GENERATED)
    for message in personal_messages(_GENERATED, seed=5):
        missed[message.kind] += _masked(message.text, message.locale) not in masked_forms(message)
    return dict(missed)


def _masked(text: str, locale: str) -> str:
    countries = countries_of(locale, ())
    return Masker(lambda each: find_personal_data(each, countries), [text]).mask(text)


def costs_us() -> dict[str, float]:
    """Return the microseconds of each step."""
    plain = _request(_SENTENCE * 2)
    personal = _request(f"{_SENTENCE} Call (415) 555-2671 or write to anna.lee@example.com.")
    countries = countries_of("en", ())
    cache = DetectionCache()

    def find(text: str) -> Sequence[Span]:
        return find_personal_data(text, countries)

    def find_cached(text: str) -> Sequence[Span]:
        return cache.find(text, countries)

    unmasker = StreamUnmasker(mask_request(personal, "", find).values)
    return {
        "request_without": _time_us(lambda: mask_request(plain, "", find_cached)),
        "request_with": _time_us(lambda: mask_request(personal, "", find_cached)),
        "message_with": _time_us(lambda: find(personal.text)),
        "delta": _time_us(lambda: unmasker.add("Your number [phone_1] is noted, and ")),
        "hostile_message": _time_us(lambda: find("1 " * 4_000), rounds=5),
    }


def _request(text: str) -> Complete:
    passage = Passage(document="a", title="Parcels", text=_SENTENCE * 7, score=0.9)
    roles = ("customer", "agent")
    transcript = [Utterance(role=roles[number % 2], text=text) for number in range(12)]  # type: ignore[arg-type]
    return Complete(instructions="You help.", text=text, transcript=transcript, passages=[passage] * 5)


def _time_us(step: Callable[[], object], *, rounds: int = _ROUNDS) -> float:
    """Return the shortest of five rounds, per call."""
    shortest = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(rounds):
            step()
        shortest = min(shortest, time.process_time() - started)
    return round(shortest / rounds * 1e6, 1)


if __name__ == "__main__":
    main()
